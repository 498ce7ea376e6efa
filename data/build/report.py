"""Measure the shipped speech and write the table of `data/README.md`.

    python -m data.build.report            measure again (minutes; needs the judges), write report.json, table
    python -m data.build.report --table    only write the table from report.json
    python -m data.build.report --check    fail when the counted part of report.json or the table is stale

Everything comes from the files in `data/speech` alone, but for what the build recorded in build.json: the
codec's PESQ, which needs the originals, and what became of the utterances. The recogniser, DNSMOS and the
speaker encoder hear a fixed sample of every voice.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soundfile as sf

from course_utils import shipped

SPEECH = Path(__file__).resolve().parents[1] / "speech"
README = SPEECH.parent / "README.md"
DIPHONES = Path(__file__).with_name("texts") / "diphones.txt"
SPLITS = ("train", "valid", "test")
BEGIN, END = "<!-- speech table: begin -->", "<!-- speech table: end -->"
SAMPLE_SENTENCES, SAMPLE_PHRASES = 4, 2  # per voice, heard by the judges


def load(folder: Path = SPEECH) -> tuple[dict[str, dict], list[dict], list[dict]]:
    """Return voices, utterances and pairs of the corpus in `folder`."""
    lines = {
        name: [json.loads(line) for line in shipped.content(folder, name).decode("utf-8").splitlines()]
        for name in ("index.jsonl", "pairs.jsonl")
    }
    voices = json.loads((folder / "voices.json").read_text(encoding="utf-8"))
    return voices, lines["index.jsonl"], lines["pairs.jsonl"]


def common_pairs() -> set[tuple[str, str]]:
    """Return the phone pairs (without stress) that common English words contain often."""
    lines = DIPHONES.read_text(encoding="utf-8").splitlines()
    return {tuple(line.split()[:2]) for line in lines if line and not line.startswith("#")}


def count(folder: Path = SPEECH) -> dict[str, dict]:
    """Count what can be counted from the labels, per split."""
    voices, rows, pairs = load(folder)
    wanted = common_pairs()
    result = {}
    for split in SPLITS:
        mine = [r for r in rows if voices[r["voice"]]["split"] == split]
        seconds = Counter()
        phones, diphones = Counter(), set()
        for row in mine:
            seconds[row["voice"]] += sum(row["durations"]) * 0.025
            bare = [p.rstrip("012") for p in row["phones"]]
            phones.update(p for p in bare if p != "sil")
            for _, first, last in row["words"]:
                diphones.update(zip(bare[first : last - 1], bare[first + 1 : last], strict=True))
        per_voice = sorted(seconds.values())
        speech = sum(d for r in mine for p, d in zip(r["phones"], r["durations"], strict=True) if p != "sil")
        result[split] = {
            "voices": len(seconds),
            "utterances": len(mine),
            "hours": round(sum(per_voice) / 3600, 3),
            "minutes_per_voice": [round(per_voice[0] / 60, 2), round(float(np.median(per_voice)) / 60, 2),
                                  round(per_voice[-1] / 60, 2)],
            "silence": round(1 - speech * 0.025 / sum(per_voice), 3),
            "sentences": len({r["text"] for r in mine if r["kind"] == "sentence"}),
            "phrases": len({r["text"] for r in mine if r["kind"] == "phrase"}),
            "words": len({w for r in mine for w, _, _ in r["words"]}),
            "phones": len(phones),
            "rarest_phones": phones.most_common()[: -4 : -1],
            "phone_pairs": round(len(diphones & wanted) / len(wanted), 3),
            "conversion_pairs": sum(p["split"] == split for p in pairs),
        }  # fmt: skip
    return json.loads(json.dumps(result))


def sample(rows: list[dict]) -> dict[str, list[dict]]:
    """Return the fixed sample of every voice: its first sentences and phrases."""
    chosen = defaultdict(list)
    for kind, number in (("sentence", SAMPLE_SENTENCES), ("phrase", SAMPLE_PHRASES)):
        seen = Counter()
        for row in rows:
            if row["kind"] == kind and seen[row["voice"]] < number:
                seen[row["voice"]] += 1
                chosen[row["voice"]].append(row)
    return dict(chosen)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Return the rate at which as many equal pairs are refused as different ones are taken."""
    thresholds = np.sort(np.concatenate([same, different]))
    refused = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    k = int(np.argmin(np.abs(refused - taken)))
    return float((refused[k] + taken[k]) / 2)


def hear(voice: str, chosen: list[dict], folder: Path) -> tuple[int, int, float, np.ndarray]:
    """Return words, misheard words, DNSMOS and two embeddings (2, 256) of the sample of one voice."""
    from resemblyzer import preprocess_wav
    from speechmos import dnsmos

    from data.build import listen
    from data.build.voices import encoder

    clips = [(sf.read(folder / voice / f"{r['id']}.opus", dtype="float32")[0], r["text"]) for r in chosen]
    halves = [np.concatenate([w for w, _ in clips[k:SAMPLE_SENTENCES:2]]) for k in (0, 1)]
    quality = dnsmos.run(np.clip(np.concatenate(halves), -1, 1), sr=16_000)["ovrl_mos"]
    embeddings = np.stack([encoder().embed_utterance(preprocess_wav(half)) for half in halves])
    return sum(len(r["words"]) for r in chosen), sum(listen.errors(clips)), float(quality), embeddings


def judge(folder: Path = SPEECH, workers: int = 2) -> dict[str, dict]:
    """Let the recogniser, DNSMOS and the speaker encoder hear the sample; return figures per split."""
    from joblib import Parallel, delayed
    from resemblyzer import preprocess_wav

    from data.build.voices import encoder

    voices, rows, pairs = load(folder)
    words, wrong, mos = Counter(), Counter(), defaultdict(list)
    embeddings: dict[str, np.ndarray] = {}
    chosen = sample(rows)
    for voice, heard in zip(
        chosen, Parallel(workers)(delayed(hear)(v, c, folder) for v, c in chosen.items()), strict=True
    ):
        split = voices[voice]["split"]
        words[split] += heard[0]
        wrong[split] += heard[1]
        mos[split].append(heard[2])
        embeddings[voice] = heard[3]
    result = {}
    train = [v for v in embeddings if voices[v]["split"] == "train"]
    for split in SPLITS:
        names = [v for v in embeddings if voices[v]["split"] == split]
        first, second = (np.stack([embeddings[v][k] for v in names]) for k in (0, 1))
        across = first @ second.T
        off = ~np.eye(len(names), dtype=bool)
        nearest = np.where(off, across, -1).max(1)
        result[split] = {
            "word_errors": wrong[split], "words_heard": words[split],
            "wer": round(wrong[split] / words[split], 4),
            "dnsmos": round(float(np.mean(mos[split])), 2), "dnsmos_worst": round(min(mos[split]), 2),
            "same_voice": round(float(np.diag(across).mean()), 3),
            "other_voice": round(float(across[off].mean()), 3),
            "nearest_other_voice": round(float(nearest.mean()), 3),
            "eer": round(equal_error_rate(np.diag(across), across[off]), 4),
        }  # fmt: skip
        if split != "train":
            known = np.stack([embeddings[v][0] for v in train])
            result[split]["nearest_train_voice"] = round(float((second @ known.T).max(1).mean()), 3)
    for split in ("train", "test"):
        to_target, to_source = [], []
        ways = defaultdict(list)
        for pair in pairs:
            if pair["split"] == split:
                ways[pair["source"], pair["target"]].append(pair["target_file"])
        for (source, target), files in ways.items():
            clip = np.concatenate([sf.read(folder / f, dtype="float32")[0] for f in files[:4]])
            made = encoder().embed_utterance(preprocess_wav(clip))
            to_target.append(float(embeddings[target].mean(0) @ made))
            to_source.append(float(embeddings[source].mean(0) @ made))
        if ways:
            result[split]["pairs_to_target"] = round(float(np.mean(to_target)), 3)
            result[split]["pairs_to_source"] = round(float(np.mean(to_source)), 3)
    return result


def finer(build: dict) -> int:
    """Return how many clips were encoded at more than the usual bit rate."""
    return sum(list(build["compression_levels"].values())[1:])


def table(report: dict) -> str:
    """Return the Markdown table of a report."""
    counted, judged, build = report["counted"], report["judged"], report["build"]

    def row(title: str, cell) -> str:
        return f"| {title} | " + " | ".join(str(cell(counted[s], judged[s])) for s in SPLITS) + " |"

    lines = [
        "| | train | valid | test |",
        "| --- | --- | --- | --- |",
        row("voices", lambda c, j: c["voices"]),
        row("hours", lambda c, j: f"{c['hours']:.2f}"),
        row("minutes per voice: least, median, most", lambda c, j: ", ".join(map(str, c["minutes_per_voice"]))),
        row("of it silence", lambda c, j: f"{c['silence']:.0%}"),
        row("utterances", lambda c, j: f"{c['utterances']:,}"),
        row("different sentences", lambda c, j: f"{c['sentences']:,}"),
        row("different phrases", lambda c, j: f"{c['phrases']:,}"),
        row("different words", lambda c, j: f"{c['words']:,}"),
        row("phones (of 39)", lambda c, j: c["phones"]),
        row("rarest phones", lambda c, j: ", ".join(f"{p} {n}" for p, n in c["rarest_phones"])),
        row("common phone pairs inside words", lambda c, j: f"{c['phone_pairs']:.1%}"),
        row("WER of Whisper tiny.en", lambda c, j: f"{j['wer']:.1%} of {j['words_heard']:,} words"),
        row("DNSMOS, mean (worst voice)", lambda c, j: f"{j['dnsmos']} ({j['dnsmos_worst']})"),
        row("cosine within a voice", lambda c, j: j["same_voice"]),
        row("cosine between voices", lambda c, j: j["other_voice"]),
        row("cosine to the nearest other voice", lambda c, j: j["nearest_other_voice"]),
        row("cosine to the nearest training voice", lambda c, j: j.get("nearest_train_voice", "")),
        row("equal error rate", lambda c, j: f"{j['eer']:.1%}"),
        row("conversion pairs", lambda c, j: c["conversion_pairs"]),
        row("cosine of a converted clip to target, to source",
            lambda c, j: f"{j['pairs_to_target']}, {j['pairs_to_source']}" if "pairs_to_target" in j else ""),
        "",
        f"Together {sum(counted[s]['hours'] for s in SPLITS):.2f} hours, {report['megabytes']:.1f} MB. "
        f"PESQ (wideband) of the codec against the original, all {build['pesq_clips']:,} clips: mean "
        f"{build['pesq_mean']:.2f}, worst {build['pesq_worst']:.2f}; {finer(build)} of them needed a higher bit rate "
        f"to reach 4.3. "
        f"At build time every utterance was heard by the recogniser: {build['made']:,} were asked for, "
        f"{build['slower']} kept only after a second, slower reading, {build['rejected']} rejected; in the "
        f"rest {build['misheard']} of {build['words']:,} words were misheard ({build['misheard'] / build['words']:.1%}).",
    ]  # fmt: skip
    return "\n".join(lines)


def write_table(report: dict, readme: Path = README) -> None:
    """Put the table between the two marks in the data card."""
    text = readme.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    readme.write_text(f"{head}{BEGIN}\n{table(report)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def megabytes(folder: Path = SPEECH) -> float:
    """Return the size of all audio in MB."""
    return round(sum(f.stat().st_size for f in folder.glob("*/*.opus")) / 1e6, 1)


def check(folder: Path = SPEECH, readme: Path = README) -> list[str]:
    """Return what is stale: the counted part of report.json, or the table."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    stale = []
    build = json.loads((folder / "build.json").read_text(encoding="utf-8"))
    if (report["counted"], report["megabytes"], report["build"]) != (count(folder), megabytes(folder), build):
        stale.append("data/speech/report.json does not fit data/speech")
    if table(report) not in readme.read_text(encoding="utf-8"):
        stale.append("the speech table of data/README.md does not fit report.json")
    return stale


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    options = parser.parse_args()
    if options.check:
        stale = check()
        sys.exit("; ".join(stale) + ": run python -m data.build.report" if stale else 0)
    if not options.table:
        build = json.loads((SPEECH / "build.json").read_text(encoding="utf-8"))
        report = {"counted": count(), "judged": judge(), "build": build, "megabytes": megabytes()}
        (SPEECH / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write_table(json.loads((SPEECH / "report.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    from data.build import report  # under its own name, so that worker processes find its functions

    report.main()
