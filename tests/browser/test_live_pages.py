"""The living pages of the book: the course's models in the browser give Python's answers, and nothing comes uninvited."""

from __future__ import annotations

import base64
import functools
import http.server
import threading
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import torch
from lab import SPOKEN_RATE, Watch, screenshot

from book import vendor
from book.live import build
from course_utils import audio, checkpoints, data, features, text
from course_utils.decoding.greedy import GreedyDecoder
from course_utils.synthesis.sentences import sentences

pytestmark = pytest.mark.usefixtures("one_thread")
LOADED = (".wasm", ".onnx", ".mjs", ".gz", ".json", ".flac")
"""Endings of what a page may ask for after start only."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """`python -m http.server` without its log."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Address of a folder as `python -m book.live.build` writes it."""
    folder = tmp_path_factory.mktemp("live")
    try:
        build.build(folder / "_static")
    except vendor.Unavailable as error:
        pytest.skip(str(error))
    build.write_pages(folder / "live")
    serve = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/live"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def digits():
    """A real recording: two seven one eight six."""
    return build.recording("digits", "27186").audio


@pytest.fixture(scope="session")
def chromium(launch, digits, tmp_path_factory):
    """Chromium whose microphone plays `digits` once for each recording."""
    spoken = audio.resample(np.append(digits, np.zeros(8000, np.float32)), audio.SAMPLE_RATE, SPOKEN_RATE)
    path = tmp_path_factory.mktemp("digits") / "digits.wav"
    soundfile.write(path, spoken, SPOKEN_RATE, subtype="PCM_16")
    return launch("--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={path}%noloop")


@pytest.fixture
def visit(chromium, site):
    """Open a page by name: `visit("denoise")`. Afterwards it must have been quiet."""
    pages = []

    def open_page(name: str, microphone: bool = True, **how):
        context = chromium.new_context(
            **{"viewport": {"width": 900, "height": 1000}} | how,
            permissions=["microphone"] if microphone else [],
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.watch, page.asked = Watch(), []
        page.watch.attach(page)
        context.on("request", lambda request: page.asked.append(request.url))
        page.goto(f"{site}/{name}.html")
        page.locator(".start").wait_for()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.watch.errors == []
        assert page.watch.outside == []
        page.context.close()


def start(page):
    """Press start and wait until the demo is ready."""
    page.locator(".start").click()
    page.locator(".controls").wait_for()


def text_of(page, selector: str, ready: Callable[[str], bool] = bool, seconds: float = 60) -> str:
    """The text of an element once it is as it should be."""
    element, found = page.locator(selector), ""
    for _ in range(int(seconds * 10)):
        found = element.inner_text()
        if ready(found):
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"{selector} says {found!r} after {seconds} s")


MODULE = "new URL('../_static/live/js/', location.href).href"


def in_page(page, body: str, **values):
    """The result of JavaScript with `dsp`, `Client` and `load(demo, options)`; arrays go and come as float32."""
    packed = {
        name: base64.b64encode(value.astype(np.float32).tobytes()).decode()
        if isinstance(value, np.ndarray)
        else value
        for name, value in values.items()
    }
    arrays = [name for name, value in values.items() if isinstance(value, np.ndarray)]
    found = page.evaluate(
        f"""async ([given, arrays]) => {{
          const dsp = await import({MODULE} + "dsp.js"), {{ Client }} = await import({MODULE} + "page.js");
          const load = async (demo, options) => {{
            const client = new Client();
            await client.call("load", demo, options);
            return client;
          }};
          for (const name of arrays) {{
            const bytes = Uint8Array.from(atob(given[name]), (letter) => letter.charCodeAt(0));
            given[name] = new Float32Array(bytes.buffer);
          }}
          const result = await (async ({{ {", ".join(values)} }}) => {{ {body} }})(given);
          const packed = {{}};
          for (const [name, value] of Object.entries(result)) {{
            if (!(value instanceof Float32Array)) {{ packed[name] = value; continue; }}
            let letters = "";
            for (const byte of new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
              letters += String.fromCharCode(byte);
            packed[name] = {{ float32: btoa(letters) }};
          }}
          return packed;
        }}""",
        [packed, arrays],
    )
    return {
        name: np.frombuffer(base64.b64decode(value["float32"]), np.float32)
        if isinstance(value, dict) and "float32" in value
        else value
        for name, value in found.items()
    }


# --- spectrograms ----------------------------------------------------------------------------------------

STREAMED = """
  const run = (stream) => {
    const rows = [];
    for (let at = 0; at < samples.length; at += cut) rows.push(...stream.push(samples.subarray(at, at + cut)));
    return [...rows, ...stream.finish()];
  };
  const spectra = run(new dsp.STFT()), back = new dsp.ISTFT(), first = back.push(spectra);
  const resampler = new dsp.Resampler(44100), slow = resampler.push(samples.subarray(0, 5000));
  return {
    log_mel: dsp.concat(...run(new dsp.LogMel())),
    stft: dsp.concat(...spectra),
    back: dsp.concat(first, back.finish(samples.length)),
    slow: dsp.concat(slow, resampler.push(samples.subarray(5000)), resampler.finish()),
  };"""


@pytest.mark.parametrize(("length", "cut"), [(20_000, 700), (513, 1), (200, 64), (16_384, 16_384)])
def test_the_spectrograms_in_javascript_are_those_of_features(visit, digits, length, cut):
    samples = digits[8000 : 8000 + length]
    found = in_page(visit("denoise"), STREAMED, samples=samples, cut=cut)
    assert np.abs(found["log_mel"].reshape(-1, 80) - features.log_mel(samples)).max() < 1e-3
    wanted = features.stft(samples)
    assert np.abs(found["stft"].view(np.complex64).reshape(wanted.shape) - wanted).max() < 1e-4
    assert len(found["back"]) == length and np.abs(found["back"] - samples).max() < 1e-5


def test_other_rates_are_resampled_without_a_shift(visit, digits):
    found = in_page(visit("denoise"), STREAMED, samples=digits, cut=4096)["slow"]
    wanted = audio.resample(digits, 44100, 16000)
    n = min(len(found), len(wanted))
    assert abs(len(found) - len(wanted)) <= 1
    assert np.abs(found[:n] - wanted[:n]).max() < 0.02 * np.abs(wanted).max()


# --- noise -----------------------------------------------------------------------------------------------


def test_nothing_is_loaded_before_start_and_the_page_says_how_much_it_will_be(visit):
    page = visit("denoise")
    page.wait_for_timeout(300)
    assert [url for url in page.asked if url.endswith(LOADED)] == []
    assert "loads 14.8 MB" in page.locator(".size").inner_text()
    start(page)
    assert any(url.endswith("enhancement.onnx") for url in page.asked)


def test_a_noisy_waveform_is_enhanced_as_in_python(visit, digits):
    noise = np.random.default_rng(0).normal(0, 0.02, len(digits)).astype(np.float32)
    noisy = digits + noise
    found = in_page(
        visit("denoise"),
        """
        const client = await load("denoise"), parts = [];
        await client.call("begin");
        for (let at = 0; at < samples.length; at += 5000)
          parts.push((await client.call("push", samples.slice(at, at + 5000))).samples);
        parts.push((await client.call("finish")).samples);
        client.close();
        return { enhanced: dsp.concat(...parts) };""",
        samples=noisy,
    )["enhanced"]
    wanted = checkpoints.load("enhancement").enhance(noisy)
    assert found.shape == wanted.shape and np.abs(found - wanted).max() < 1e-3
    assert np.abs(wanted - noisy).max() > 0.02  # there was something to do


def test_the_bundled_clip_loses_its_noise_and_can_be_heard_before_and_after(visit):
    page = visit("denoise")
    start(page)
    page.locator(".sample").click()
    page.locator(".results audio").nth(1).wait_for()
    assert "Done: 5.1 s" in text_of(page, ".status")
    assert float(text_of(page, ".levels").split(" dB")[0].split()[-1]) > 10
    assert "ms for a frame of 16 ms" in text_of(page, ".meter")
    screenshot(page, "live_denoise")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    screenshot(page, "live_denoise_telephone")


def test_the_microphone_is_enhanced_until_stop(visit):
    page = visit("denoise")
    start(page)
    page.locator(".hear").check()
    page.locator(".microphone").click()
    text_of(page, ".time", lambda text: text >= "2")
    page.locator(".stop").click()
    page.locator(".results audio").nth(1).wait_for()
    assert "Stopped: 2." in text_of(page, ".status", lambda text: "Stopped" in text)
    assert page.locator(".microphone").is_visible() and page.locator(".stop").is_hidden()


def test_what_can_not_be_heard_is_said_and_the_other_ways_stay(visit, tmp_path):
    page = visit("denoise", microphone=False)
    start(page)
    page.locator(".microphone").click()
    assert "may not use the microphone" in text_of(page, ".status", lambda text: "may not" in text)
    (tmp_path / "notes.txt").write_text("no sound")
    page.locator("input[type=file]").set_input_files(tmp_path / "notes.txt")
    assert "notes.txt is no sound" in text_of(page, ".status", lambda text: "is no sound" in text)
    stereo = np.stack([np.sin(np.arange(44100) / 20)] * 2, 1) * 0.1
    soundfile.write(tmp_path / "stereo.wav", stereo, 44100)
    page.locator("input[type=file]").set_input_files(tmp_path / "stereo.wav")
    assert "1.0 s of stereo.wav" in text_of(page, ".status", lambda text: "Done" in text)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); }",
         "There is no microphone"),
        ("navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotReadableError'); }",
         "Another program holds the microphone"),
        ("Object.defineProperty(window, 'isSecureContext', { get: () => false })", "only to pages from https://"),
    ],
    ids=["no device", "busy", "insecure"],
)  # fmt: skip
def test_without_a_microphone_the_page_says_why_and_the_clip_can_be_heard(visit, state, words):
    page = visit("denoise")
    page.evaluate(f"() => {{ {state}; }}")
    start(page)
    page.locator(".microphone").click()
    assert words in text_of(page, ".status", lambda text: words in text)
    assert page.locator(".microphone").is_visible() and page.locator(".stop").is_hidden()


def test_a_page_that_was_opened_as_a_file_says_how_to_serve_it(chromium, tmp_path):
    build.write_pages(tmp_path / "live")
    page = chromium.new_page()
    page.goto((tmp_path / "live" / "denoise.html").as_uri())
    assert "python -m http.server" in page.locator(".live").inner_text()
    page.close()


# --- speech from text ------------------------------------------------------------------------------------

WRITTEN = (
    "Dr. Smith's cats cost $5, don't they?", "It is 10:30 on the 3rd of May 1984.", "A and B; 1,234 or 2.5 % of 17!",
    "The zorblaxes unfriendlied him practically twice.", "Café Müller - in 2005, 1900 and 2026.", "I am an A B C; it cost $3.50 (really)...",
)  # fmt: skip


def test_words_become_the_phones_of_python(visit):
    texts = [*WRITTEN, *dict.fromkeys(one.text for one in data.speech("test"))][:60]
    found = in_page(
        visit("speak"),
        """
        const client = await load("speak"), phones = [];
        for (const text of texts) phones.push((await client.call("phones", text)).flat());
        client.close();
        return { phones };""",
        texts=texts,
    )["phones"]
    for written, phones in zip(texts, found, strict=True):
        wanted = [phone for one in sentences(written) for phone in text.phonemes(one)]
        assert phones == wanted, written


def test_a_sentence_is_the_log_mel_and_the_sound_of_python(visit):
    sentence, voice, model = "Hello there, who is it that speaks so late?", "m03", checkpoints.load("tts")
    with torch.inference_mode():
        plan = model.plan(next(sentences(sentence)), model.voice(voice))
        noise = torch.randn(plan.n_frames, 80, generator=torch.Generator().manual_seed(0))
        log_mel = model.decode(plan, noise)
    found = in_page(
        visit("speak"),
        """
        const client = await load("speak"), parts = [];
        const { frames, logMel } = await client.call("logMel", sentence, voice, noise);
        await client.call("begin", sentence, { voice, noise: noise.map((x) => 0.8 * x) });
        for (let part; (part = await client.call("next")); ) if (part.samples) parts.push(part.samples);
        client.close();
        return { frames, logMel, sound: dsp.concat(...parts), pieces: parts.filter((one) => one.length).length };""",
        sentence=next(sentences(sentence)),
        voice=voice,
        noise=noise.numpy(),
    )
    assert found["frames"] == plan.n_frames
    assert np.abs(found["logMel"].reshape(-1, 80) - log_mel).max() < 1e-3
    wanted = model.say(sentence, voice, seed=0)
    assert found["pieces"] > 1 and found["sound"].shape == wanted.shape
    # F0 is rounded to 1/16 Hz, and may round otherwise here
    assert np.abs(found["sound"] - wanted).max() < 0.03 * np.abs(wanted).max()


def test_a_typed_text_is_heard_and_shown_with_its_phones(visit):
    page = visit("speak")
    start(page)
    page.locator("textarea").fill("Hello zorblax.")
    page.locator(".voice").select_option("m02")
    page.locator(".say").click()
    page.locator(".results audio").wait_for()
    assert "HH AH0 L OW1" in text_of(page, ".words")
    assert page.locator(".words em").inner_text() == "zorblax"
    assert "Said." in text_of(page, ".status", lambda text: "Said" in text)
    assert "ms for a frame of 16 ms" in text_of(page, ".meter")
    assert page.evaluate("fetch(document.querySelector('.results audio').src).then((r) => r.text())").count(
        "Synthetic speech"
    )
    screenshot(page, "live_speak")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("textarea").fill("!!!")
    page.locator(".say").click()
    assert "nothing to say" in text_of(page, ".status", lambda text: "nothing" in text)


def test_speech_stops_when_it_is_told_to(visit):
    page = visit("speak")
    start(page)
    page.locator("textarea").fill("This is a sentence that goes on. " * 20)
    page.locator(".say").click()
    text_of(page, ".time", lambda text: text >= "0.2")
    page.locator(".stop").click()
    assert text_of(page, ".status", lambda text: text == "Stopped.") and page.locator(".say").is_visible()


# --- recognition -----------------------------------------------------------------------------------------

RECOGNISED = """
  const client = await load("listen", { recogniser }), found = [];
  for (const [index, end] of ends.entries()) {
    const clip = samples.subarray(ends[index - 1] ?? 0, end), texts = [];
    await client.call("begin");
    for (let at = 0; at < clip.length; at += 1700)
      texts.push((await client.call("push", clip.slice(at, at + 1700))).text);
    texts.push((await client.call("finish")).text);
    found.push(texts);
  }
  const probabilities = await client.call("probabilities"); // of the last one
  client.close();
  return { probabilities, found };"""


def recognised(page, recogniser, clips):
    """Of each clip all texts, the partial ones first; and the probabilities of the last one."""
    ends = np.cumsum([len(clip) for clip in clips]).tolist()
    given = {"samples": np.concatenate(clips), "ends": ends, "recogniser": recogniser}
    found = in_page(page, RECOGNISED, **given)
    return found["found"], found["probabilities"]


def in_python(recogniser, waveform):
    """Text, and the log-probabilities of every step."""
    stream = recogniser.stream(160)
    stream.push(waveform)
    before = stream.log_probs
    text = stream.finish().text
    return text, np.concatenate([before, stream.log_probs])


@pytest.mark.parametrize("name", ["phrases", "recognition"])
def test_the_probabilities_and_the_words_are_those_of_python(visit, digits, name):
    recogniser = checkpoints.load(name)
    if name == "recognition":
        recogniser.decoder = lambda: GreedyDecoder(recogniser.config.units)  # the page has no language model
    text, log_probs = in_python(recogniser, digits)
    [texts], probabilities = recognised(visit("listen"), name, [digits])
    assert np.abs(np.exp(probabilities.reshape(log_probs.shape)) - np.exp(log_probs)).max() < 1e-3
    assert texts[-1] == text and len(text.split()) == 5
    assert len(set(texts)) > 3  # words came while the sound did


def test_the_graph_of_words_finds_what_it_finds_in_python(visit):
    recogniser = checkpoints.load("phrases")
    clips = [phrase.audio for phrase in data.phrases("test")[::20][:10]]
    found, _ = recognised(visit("listen"), "phrases", clips)
    assert [texts[-1] for texts in found] == [in_python(recogniser, clip)[0] for clip in clips]


def test_words_spoken_into_the_microphone_appear(visit):
    page = visit("listen")
    assert "loads 16.0 MB" in page.locator(".size").inner_text()
    page.locator("[value=recognition]").check()
    assert "loads 17.8 MB" in page.locator(".size").inner_text()
    page.locator("[value=phrases]").check()
    start(page)
    page.locator(".microphone").click()
    text_of(page, ".partial", lambda text: "two seven" in text)
    assert "ms for a frame of 16 ms" in text_of(page, ".meter")
    screenshot(page, "live_listen")
    page.wait_for_timeout(2500)  # the rest of the recording
    page.locator(".stop").click()
    text_of(page, ".status", lambda text: text.startswith("Stopped"))
    assert page.locator(".transcript").inner_text().startswith("two seven one eight six")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    screenshot(page, "live_listen_telephone")


# --- chorales --------------------------------------------------------------------------------------------

COMPOSED = """
  const client = await load("compose"), grids = [];
  for (const how of asked) {
    await client.call("begin", how);
    let grid;
    for (let part; (part = await client.call("next")); ) ({ grid } = part);
    grids.push(grid);
  }
  return { grids };"""


def test_where_the_likeliest_note_is_taken_the_chorale_is_that_of_python(visit):
    page, composer = visit("compose"), checkpoints.load("music")
    melody = [74] * 8 + [76] * 8
    asked = [
        {"steps": 48, "metre": [16, 0], "temperature": 0, "strict": True},
        {"steps": 24, "metre": [12, 0], "temperature": 0, "strict": False},
        {"soprano": melody, "metre": [16, 0], "temperature": 0, "particles": 1},
    ]
    strict, free, harmonised = in_page(page, COMPOSED, asked=asked)["grids"]
    assert np.array_equal(strict, composer.generate(48, temperature=0, metre=(16, 0), strict=True))
    assert np.array_equal(free, composer.generate(24, temperature=0, metre=(12, 0)))
    soprano = np.asarray(melody)
    assert np.array_equal(harmonised, composer.harmonise(soprano, temperature=0, metre=(16, 0), particles=1))


def test_a_chorale_is_written_shown_and_heard_and_a_melody_is_harmonised(visit):
    page = visit("compose")
    start(page)
    page.locator(".bars").fill("2")
    page.locator(".write").click()
    page.locator(".results audio").wait_for()
    assert "Written: 8 beats" in text_of(page, ".status", lambda text: "Written" in text)
    assert "No parallel fifths or octaves" in page.locator(".rules").inner_text()
    assert page.locator(".roll rect").count() >= 8
    screenshot(page, "live_compose")
    page.locator("[value=harmonise]").check()
    page.locator(".melody").fill("C5 D5 E5 C5*2")
    page.locator(".write").click()
    assert "Written: 5 beats" in text_of(page, ".status", lambda text: "Written: 5" in text)
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator(".melody").fill("C5 H9")
    page.locator(".write").click()
    assert "H9" in text_of(page, ".status", lambda text: "H9" in text)
