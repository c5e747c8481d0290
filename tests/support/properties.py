"""How many examples a property is tried on."""

from hypothesis import settings


def examples(count: int) -> settings:
    """`count` examples; fewer with the profile `quick`, in the same proportion as the default."""
    return settings(max_examples=max(5, count * settings().max_examples // 100))
