"""What can be broken in a kernel text: the lines, the operators, the draw."""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.json")
# The dialect's own headers are the emulator and the compilers' macros, not kernels.
NOT_KERNELS = {"include"}


@dataclass(frozen=True)
class Mutant:
    """One line of one file, altered in one place."""

    file: str
    line: int
    operator: str
    before: str
    after: str

    @property
    def family(self):
        return self.file.split("/")[1]

    @property
    def language(self):
        return "wgsl" if self.file.endswith(".wgsl") else "cuda"

    def text(self):
        lines = (ROOT / self.file).read_text().split("\n")
        assert lines[self.line - 1] == self.before, f"{self.file}:{self.line} has changed"
        lines[self.line - 1] = self.after
        return "\n".join(lines)


def files():
    """The kernel texts and their modules, by path."""
    found = [*ROOT.glob("kernels/*/*.cu*"), *ROOT.glob("shaders/*/*.wgsl")]
    return sorted(str(p.relative_to(ROOT)) for p in found if p.parent.name not in NOT_KERNELS)


DECLARED = re.compile(
    r"\s*(const |constexpr |static |let |var\b|alias |typedef |struct |fn |W_SHARED|W_INLINE |"
    r"(u8|u16|u32|u64|i8|i16|i32|i64|u128|i128|f32|f64|bool|void|Value|State|Sum|Code|Key|Out)\b[ *])"
)
SIZES = re.compile(r"var<workgroup>|W_SHARED|:\s*array<|@workgroup_size|@group|^\s*(\w+ )+\w+\[\w+\]")


def code_lines(path):
    """Numbers and code of the lines that can be broken: no comment, no directive, no field of
    a parameter list."""
    inside = None
    for number, line in enumerate((ROOT / path).read_text().split("\n"), 1):
        code = line.split("//")[0].rstrip()
        word = code.strip()
        if inside:
            inside = None if word.startswith("}") else inside
            continue
        if re.match(r"(struct|enum)\b[^;]*\{$", word) and path:
            inside = word
            continue
        if word.startswith(("#", "@", "struct ", "typedef ", "alias ", "}", "extern ", ")")):
            if not re.match(r"\} else if ", word):
                continue
        if word and re.search(r"\w", word):
            yield number, line, code


def closing(code, at):
    """The place of the parenthesis that closes the one at `at`; None on a later line."""
    depth = 0
    for i in range(at, len(code)):
        depth += code[i] in "([{"
        depth -= code[i] in ")]}"
        if depth == 0:
            return i
    return None


def arguments(code, opening):
    """The spans of the arguments of a call whose parenthesis is at `opening`."""
    end = closing(code, opening)
    if end is None:
        return []
    spans, depth, start = [], 0, opening + 1
    for i in range(opening + 1, end + 1):
        if depth == 0 and code[i] in ",)":
            spans.append((start, i))
            start = i + 1
        depth += code[i] in "([{<" and not code[i - 1 : i + 1] == " <"
        depth -= code[i] in ")]}" or (code[i] == ">" and depth > 0 and code[i - 1] != " ")
    return spans


def swaps(code, pairs, name):
    for pattern, new in pairs:
        for m in re.finditer(pattern, code):
            yield name, code[: m.start()] + m.expand(new) + code[m.end() :]


def breakings(path, code):
    """Every way to break a line: pairs of operator and new code."""
    cuda = not path.endswith(".wgsl")
    sized = SIZES.search(code)
    body = code.strip()
    yield from swaps(code, [(r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > ")], "bound")
    yield from swaps(code, [(r" == ", " != "), (r" != ", " == ")], "equality")
    yield from swaps(code, [(r" && ", " || "), (r" \|\| ", " && ")], "logic")
    yield from swaps(code, [(r" & ", " | "), (r" \| ", " & "), (r" \^ ", " | ")], "bits")
    yield from swaps(code, [(r" &= ", " |= "), (r" \|= ", " &= "), (r" \^= ", " |= ")], "bits")
    yield from swaps(code, [(r" \+= ", " -= "), (r" -= ", " += "), (r" [|&^+-]= ", " = ")], "assignment")
    yield from swaps(code, [(r" \+ ", " - "), (r" - ", " + "), (r" \* ", " + "), (r" / ", " * "), (r" % ", " / ")], "arithmetic")
    yield from swaps(code, [(r" [+-] 1u?\b", ""), (r"~(?=[\w(])", ""), (r"!(?=[\w(])", "")], "dropped term")
    yield from swaps(code, [(r" << ", " >> "), (r" >> ", " << ")], "shift")
    one = lambda m, by: str(int(m.group(1)) + by) + m.group(2)
    if not sized:
        for m in re.finditer(r"(?<![\w.#@])(\d+)(u?)(?![\w.])", code):
            for by in (1, -1):
                if int(m.group(1)) + by >= 0:
                    yield "constant", code[: m.start()] + one(m, by) + code[m.end() :]
    for m in re.finditer(r"0x([0-9a-fA-F]+)(u?)\b", code):
        flipped = f"{int(m.group(1), 16) ^ 1:#x}"
        yield "constant", code[: m.start()] + flipped + m.group(2) + code[m.end() :]
    for m in re.finditer(r"(?<![\w.])(\d+\.\d+)", code):
        changed = "1.0" if float(m.group(1)) == 0 else "0.0"
        yield "constant", code[: m.start()] + changed + code[m.end() :]
    yield from swaps(code, [(r"\b(atomic)?(M|m)in\b(?=\()", r"\1\2ax"), (r"\b(atomic)?(M|m)ax\b(?=\()", r"\1\2in")], "min and max")
    if not sized:
        for m in re.finditer(r"[\w\])]\[", code):
            end = closing(code, m.end() - 1)
            if end:
                more = " + 1" if cuda else " + 1u"
                yield "index", code[:end] + more + code[end:]
    if re.fullmatch(r"(W_SYNC|W_SYNCWARP|workgroupBarrier|storageBarrier)\(\);", body):
        yield "barrier", code.replace(body, ";" if cuda else "")
    elif body.endswith(";") and "(" not in body[:4] and not DECLARED.match(code) and "{" not in body:
        if not re.match(r"(return [^;]|case |default)", body):
            yield "deleted statement", code.replace(body, ";" if cuda else "")
    for call in ("atomicAdd", "atomicOr", "atomicMin", "atomicMax"):
        for m in re.finditer(rf"^\s*{call}\(&", code):
            spans = arguments(code, code.index("("))
            if len(spans) == 2 and body.endswith(");"):
                place, value = (code[a:b].strip() for a, b in spans)
                if cuda and call == "atomicAdd":
                    yield "atomic", code.replace(body, f"{place[1:]} += {value};")
                elif not cuda and call == "atomicAdd":
                    yield "atomic", code.replace(body, f"atomicStore({place}, atomicLoad({place}) + {value});")
                else:
                    yield "atomic", code.replace(body, f"{place[1:]} = {value};" if cuda else f"atomicStore({place}, {value});")
    for m in re.finditer(r"\bif ", code):
        if cuda:
            end = closing(code, m.end())
            span = (m.end() + 1, end) if end else None
        else:
            span = (m.end(), len(code) - 2) if code.endswith(" {") else None
        if span:
            for constant in ("true", "false"):
                yield "condition", code[: span[0]] + constant + code[span[1] :]
            inner = code[span[0] : span[1]]
            yield "condition", code[: span[0]] + f"!({inner})" + code[span[1] :]
    for m in re.finditer(r"\bselect\(", code):
        spans = arguments(code, m.end() - 1)
        if len(spans) == 3:
            a, b = (code[s:e].strip() for s, e in spans[:2])
            yield "swapped branches", code[: spans[0][0]] + f"{b}, {a}" + code[spans[1][1] :]
    for m in re.finditer(r" \? (\w[\w.\[\]()]*) : (~?\w[\w.\[\]()]*)", code):
        yield "swapped branches", code[: m.start()] + f" ? {m.group(2)} : {m.group(1)}" + code[m.end() :]


def mutants(path, equivalent=frozenset()):
    """Every mutant of a file, by line."""
    by_line = {}
    above = lines_above(path)
    for number, line, code in code_lines(path):
        comment = line[len(code) :]
        for operator, after in breakings(path, code):
            after = after + comment
            change = (path, line.strip(), after.strip())
            known = (*change, None) in equivalent or (*change, above[number]) in equivalent
            if after != line and not known:
                by_line.setdefault(number, []).append(Mutant(path, number, operator, line, after))
    return by_line


def lines_above(path):
    """The line with code above each line of a file, by number."""
    above, last = {}, ""
    for number, line in enumerate((ROOT / path).read_text().split("\n"), 1):
        above[number] = last
        word = line.strip()
        if word and not word.startswith("//"):
            last = word
    return above


def equivalents():
    """The mutants that are no faults, by file, line text and, where a file has that line more
    than once, the line above it; each entry has its reason."""
    known = set()
    for e in json.loads(EQUIVALENT.read_text()):
        assert e["reason"], e
        for file in e["files"]:
            lines = (ROOT / file).read_text().split("\n")
            above = lines_above(file)
            places = [n for n, line in enumerate(lines, 1) if line.strip() == e["before"]]
            found = [n for n in places if e.get("above") in (None, above[n])]
            assert found, f"{EQUIVALENT.name}: {file} has no line {e['before']!r} below {e.get('above')!r}"
            known |= {(file, e["before"], after, e.get("above")) for after in e["after"]}
    return frozenset(known)


def draw(seed, families, languages, only):
    """Mutants without end, at random: first one of each family and language, then lines with
    equal chances; no line twice. The operator is drawn first, then its place in the line."""
    rng = random.Random(seed)
    known = equivalents()
    lines = []
    for path in files():
        for found in mutants(path, known).values():
            m = found[0]
            if m.family in families and m.language in languages and (not only or path in only):
                lines.append(found)
    rng.shuffle(lines)
    seen, first, rest = set(), [], []
    for found in lines:
        key = (found[0].family, found[0].language)
        (rest if key in seen else first).append(found)
        seen.add(key)
    for found in first + rest:
        operator = rng.choice(sorted({m.operator for m in found}))
        yield rng.choice([m for m in found if m.operator == operator])
