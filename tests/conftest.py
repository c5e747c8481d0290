"""Settings of all tests."""

from hypothesis import settings

# How long an example takes says more about the other work of the machine than about the code.
settings.register_profile("consuldns", deadline=None, max_examples=60)
settings.register_profile("thorough", deadline=None, max_examples=1_000)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile("consuldns")
