"""From the text of a .cu file to a C++ program.

All of the text stays as it is, line by line, but for its `__shared__` declarations, which C++ has no form for:

    __shared__ float tile[4][5];    →  typedef float tile_type_[4][5];
                                       auto& tile = cuda_on_cpu::shared<tile_type_>("tile", []{});
    extern __shared__ float row[];  →  float* row = (float*)cuda_on_cpu::dynamic_shared("row");

What is not of these forms is left alone, and does not compile.
"""

import re
from typing import NamedTuple

_STRING = r"\"(?:\\.|[^\"\\\n])*\""
_COMMENT = re.compile(rf"//[^\n]*|/\*.*?\*/|{_STRING}", re.S)
_BOUNDS = r"(?:__launch_bounds__\s*\((?P<{}>[^()]*(?:\([^()]*\)[^()]*)*)\)\s*)?"
_KERNEL = re.compile(r'extern\s*"C"\s*__global__\s+' + _BOUNDS.format("before") + r"void\s+" + _BOUNDS.format("behind")
                     + r"(?P<name>\w+)\s*\(")
_ALIGN = r"(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?"
_TYPE = rf"__shared__\s+{_ALIGN}(?P<type>[\w:][\w: ]*?)\s+{_ALIGN}"
_DYNAMIC = re.compile(rf"{_STRING}|\bextern\s+{_TYPE}(?P<name>\w+)\s*\[\s*\]\s*;")
_STATIC = re.compile(rf"{_STRING}|\b{_TYPE}(?P<names>\w+\s*(?:\[[^;]*\])?(?:\s*,[^;]*)?);")

# outside of functions the memory would be asked for once, when the program is loaded
_IN_A_FUNCTION = 'static_assert(*__builtin_FUNCTION(), "__shared__ belongs into a function");'


class Kernel(NamedTuple):
    """A kernel as its text declares it."""

    name: str
    parameters: tuple  # their names
    bounds: str  # the expression in __launch_bounds__, or ""


def without_comments(text):
    """`text` with blanks for comments, strings as they are, and every line where it was."""
    def blank(match):
        found = match.group()
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
    return _COMMENT.sub(blank, text)


def kernels(text):
    """{name: Kernel} of the `extern "C" __global__` functions in a text without comments."""
    found = {}
    for match in _KERNEL.finditer(text):
        name, bounds = match["name"], match["before"] or match["behind"] or ""
        inside = text[match.end():_closing(text, match.end())]
        found[name] = Kernel(name, tuple(map(_name, _split(inside))), bounds)
    return found


def program(text):
    """The C++ program for the text of a .cu file, and the kernels in it."""
    plain = without_comments(text)
    found = kernels(plain)
    body = _replace(_STATIC, _static, _replace(_DYNAMIC, _dynamic, plain))
    entries = "".join(f"CUDA_ON_CPU_KERNEL({name}, ({kernel.bounds or 0}))\n" for name, kernel in found.items())
    return f'#include "cuda_on_cpu.h"\n#line 1 "kernel.cu"\n{body}\n#line 1 "entries"\n{entries}', found


def _closing(text, start):
    """Where the parenthesis that was opened before `start` closes."""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place
    return len(text)


def _split(text):
    """The parts of `text` between commas that stand in no bracket; none if there is nothing."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([{<") - (sign in ")]}>")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts] if text.strip() else []


def _name(parameter):
    return re.search(r"\w*(?=\s*(?:\[[^]]*\])?$)", parameter)[0]


def _replace(pattern, make, text):
    """Strings stay as they are, and lines where they are."""
    def one(match):
        found = match.group()
        return found if found.startswith('"') else f"{_IN_A_FUNCTION} {make(match)}" + "\n" * found.count("\n")
    return pattern.sub(one, text)


def _dynamic(match):
    type_, name = match["type"], match["name"]
    return f'{type_}* {name} = ({type_}*)cuda_on_cpu::dynamic_shared("{name}");'


def _static(match):
    def one(declarator):
        name, dimensions = re.fullmatch(r"(\w+)\s*(.*)", declarator, re.S).groups()
        return (f"typedef {match['type']} {name}_type_{dimensions}; "
                f'auto& {name} = cuda_on_cpu::shared<{name}_type_>("{name}", []{{}});')
    return " ".join(map(one, _split(" ".join(match["names"].split()))))
