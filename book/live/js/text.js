// Written English to phones: a small part of course_utils/text. The dictionary and the rules for endings are the same;
// of numbers and abbreviations only the commonest are read.

const ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " +
  "seventeen eighteen nineteen").split(" ");
const TENS = "0 1 twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const ORDINALS = { one: "first", two: "second", three: "third", five: "fifth", eight: "eighth", nine: "ninth", twelve: "twelfth" };
const SHORT = { mr: "mister", mrs: "missus", ms: "miz", dr: "doctor", prof: "professor", st: "saint", vs: "versus",
  etc: "et cetera" };
const SIGNS = { "%": " percent ", "&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "°": " degrees " };
const MONEY = { $: ["dollar", "dollars"], "€": ["euro", "euros"], "£": ["pound", "pounds"] };

export function number(n) {
  if (n < 20) return ONES[n];
  if (n < 100) return TENS[Math.floor(n / 10)] + (n % 10 ? ` ${ONES[n % 10]}` : "");
  for (const [size, name] of [[1e9, "billion"], [1e6, "million"], [1e3, "thousand"], [100, "hundred"]])
    if (n >= size) return `${number(Math.floor(n / size))} ${name}${n % size ? ` ${number(n % size)}` : ""}`;
}

const digits = (text) => [...text].map((digit) => ONES[digit]).join(" ");
const whole = (text) => (text.length > 12 ? digits(text) : number(Number(text)));

function ordinal(n) {
  const [, before, last] = number(n).match(/^(.* )?(\S+)$/);
  return (before ?? "") + (ORDINALS[last] ?? last.replace(/y$/, "ie") + "th");
}

// A year is said in two halves: nineteen eighty four, twenty twenty six, two thousand five.
function year(n) {
  const [high, low] = [Math.floor(n / 100), n % 100];
  if (low === 0 && high % 10 === 0) return number(n);
  if (low === 0) return `${number(high)} hundred`;
  if (low < 10) return high % 10 ? `${number(high)} oh ${ONES[low]}` : number(n);
  return `${number(high)} ${number(low)}`;
}

// -> lower-case words, the apostrophe, spaces and the marks , . ? ! ;
export function normalise(text) {
  return text
    .normalize("NFKD").replace(/\p{M}/gu, "") // é -> e
    .replace(/[‘’‛`´]/g, "'")
    .replace(/\b(\d{1,2}):(\d\d)\b/g, (_, hour, minute) =>
      `${number(+hour)} ${+minute === 0 ? "o'clock" : +minute < 10 ? `oh ${ONES[+minute]}` : number(+minute)}`)
    .replace(/[–—―:()]| - /g, ", ").replace(/…/g, ". ")
    .replace(/\b([A-Za-z]+)\.(?=\s)/g, (all, word) => SHORT[word.toLowerCase()] ?? all)
    .replace(/\d{1,3}(?:,\d{3})+/g, (n) => whole(n.replaceAll(",", "")))
    .replace(/([$€£])(\d+)(?:\.(\d\d))?/g, (_, sign, big, small) =>
      `${whole(big)} ${MONEY[sign][+big === 1 ? 0 : 1]}${small ? ` and ${number(+small)} ${sign === "£" ? "pence" : "cents"}` : ""}`)
    .replace(/(\d+)(?:st|nd|rd|th)\b/g, (_, n) => (n.length < 10 ? ordinal(+n) : digits(n)))
    .replace(/(\d+)\.(\d+)/g, (_, before, after) => `${whole(before)} point ${digits(after)}`)
    .replace(/\b(1[1-9]\d\d|20\d\d)\b/g, (n) => year(+n))
    .replace(/\d+/g, (n) => ` ${whole(n)} `)
    .replace(/[%&+=@°]/g, (sign) => SIGNS[sign])
    .toLowerCase()
    .replace(/[^a-z',.?!; ]+/g, " ")
    .replace(/ +(?=[,.?!;])/g, "").replace(/,+(?=[,.?!;])|([.?!;])(?=\1)/g, "")
    .replace(/(?<![a-z])'|'(?![a-z])/g, "").replace(/ +/g, " ").trim();
}

// What is said in one go: up to a mark, or 40 words.
export function sentences(text) {
  const found = [];
  for (const piece of normalise(text).match(/[^.?!;]+[.?!;]*/g) ?? []) {
    const words = piece.trim().split(/\s+/).map((word) => word.slice(0, 60));
    for (let at = 0; at < words.length; at += 40) {
      const said = words.slice(at, at + 40).join(" ");
      if (/[a-z]/.test(said)) found.push(said);
    }
  }
  return found;
}

// --- pronunciation ---------------------------------------------------------------------------------------

// Unpacks what book/live/build.py packs: a letter for how much a word shares with the one before it.
export async function unpackLexicon(bytes, phones) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const lines = (await new Response(stream).text()).split("\n"), lexicon = new Map();
  let before = "";
  for (const line of lines.slice(1)) {
    const space = line.indexOf(" ");
    before = before.slice(0, line.charCodeAt(0) - 97) + line.slice(1, space);
    lexicon.set(before, line.slice(space + 1));
  }
  const named = (packed) => Array.from(packed, (letter) => phones[letter.charCodeAt(0) - 33]);
  return { has: (word) => lexicon.has(word), get: (word) => named(lexicon.get(word)) };
}

const VOICELESS = ["P", "T", "K", "F", "TH"], HISSING = ["S", "Z", "SH", "ZH", "CH", "JH"];
const withS = (phones) => {
  const last = phones.at(-1);
  return HISSING.includes(last) ? [...phones, "IH0", "Z"] : [...phones, VOICELESS.includes(last) ? "S" : "Z"];
};
const withEd = (phones) => {
  const last = phones.at(-1);
  if (last === "T" || last === "D") return [...phones, "IH0", "D"];
  return [...phones, [...VOICELESS, "S", "SH", "CH"].includes(last) ? "T" : "D"];
};
const withLy = (phones) => {
  const base = phones.slice(-3).join(" ") === "K AH0 L" ? phones.slice(0, -2) : phones; // practical, practically
  return base.at(-1) === "L" ? [...base, "IY0"] : [...base, "L", "IY0"];
};
const plus = (...ending) => (phones) => [...phones, ...ending];

// ending, what the base may end with in writing, and what the ending adds in sound
const ENDINGS = [
  ["'s", [""], withS], ["s'", ["s", ""], (phones) => phones], ["ies", ["y"], withS], ["es", ["e", ""], withS],
  ["s", [""], withS], ["ied", ["y"], withEd], ["ed", ["e", "", "double"], withEd],
  ["ing", ["", "e", "double"], plus("IH0", "NG")], ["ness", [""], plus("N", "AH0", "S")],
  ["less", [""], plus("L", "AH0", "S")], ["ly", [""], withLy],
];

export function inflected(word, lexicon) {
  for (const [ending, bases, add] of ENDINGS) {
    if (!word.endsWith(ending) || word.length - ending.length < 2 || (ending === "s" && word.endsWith("ss"))) continue;
    const start = word.slice(0, -ending.length);
    for (const base of bases) {
      const doubled = start.length > 2 && start.at(-1) === start.at(-2) ? start.slice(0, -1) : "";
      const stem = base === "double" ? doubled : start + base;
      if (stem.length >= 3 && lexicon.has(stem)) return add(lexicon.get(stem));
    }
  }
  return null;
}

// Phones of a sentence with "sil" at both ends and at every mark. `guess(word)` asks the letter-to-phone network.
// -> phones, and words as { word, first, end, how }
export async function spoken(sentence, lexicon, guess) {
  const tokens = sentence.match(/[a-z']+|[,.?!;]/g) ?? [], phones = ["sil"], words = [];
  const letterName = (letter) => (letter === "a" ? ["EY1"] : lexicon.get(letter));
  const single = (token) => token?.length === 1 && /[a-z]/.test(token);
  for (const [i, token] of tokens.entries()) {
    if (",.?!;".includes(token)) {
      if (phones.at(-1) !== "sil") phones.push("sil");
      continue;
    }
    if (!/[a-z]/.test(token)) continue;
    let how = "dictionary", found;
    if (token === "a" && (single(tokens[i - 1]) || single(tokens[i + 1]))) found = letterName("a"); // the letter A
    else if (lexicon.has(token)) found = lexicon.get(token);
    else if ((found = inflected(token, lexicon))) how = "ending";
    else if (/[aeiouy]/.test(token) && (found = await guess(token)).length) how = "network";
    else [how, found] = ["letters", [...token].filter((letter) => letter !== "'").flatMap(letterName)];
    words.push({ word: token, first: phones.length, end: phones.length + found.length, how });
    phones.push(...found);
  }
  if (phones.at(-1) !== "sil") phones.push("sil");
  return { phones, words };
}
