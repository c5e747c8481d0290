"""Fuzzing: octets from outside, and what must hold whatever they are.

    make fuzz                       five minutes over all targets
    make fuzz MINUTES=60
    make fuzz MINUTES=10 TARGETS="queries upstream"

`targets` has the functions, `seeds` what to begin with; `__main__` gives them to atheris, which
looks for octets that take new paths. A finding is written to `.cache/fuzz/<target>/`, and becomes a
seed in `found/<target>/` once it is mended.
"""
