"""What other servers say about names that are not ours, as the resolver takes it: values alone.

The resolver does not wait for an upstream server, as it does not wait for Consul: if a reply is
missing it says which, and is asked again when it has come.
"""

from typing import Protocol

import msgspec

from consuldns.dns.answer import Outcome, Record
from consuldns.names import Labels
from consuldns.views.keys import ViewKey


class ForwardedQuestion(msgspec.Struct, frozen=True):
    """A question for an upstream server, class IN. `name` is folded."""

    name: Labels
    type: int


class ForwardedReply(msgspec.Struct, frozen=True):
    """What an upstream server says, with the TTLs that are left.

    `records` are those of the answer section: the question's, and aliases that lead to them.
    `authority` is the SOA of a negative reply. `failure`: why there is no reply, and nothing else.
    """

    outcome: Outcome
    records: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    failure: str = ""


class Needs(msgspec.Struct, frozen=True):
    """The resolver cannot answer without this view, or without the reply to this question."""

    key: ViewKey | ForwardedQuestion


class MissingReply(Exception):
    """The resolver needs a reply that is not there; it may be asked for."""

    def __init__(self, question: ForwardedQuestion) -> None:
        self.question = question
        super().__init__(question)


class UpstreamFailure(Exception):
    """There is no reply, and the answer cannot do without it. The reason is for people."""


class Forwarded(Protocol):
    """The replies of upstream servers that are known now."""

    def read(self, question: ForwardedQuestion) -> ForwardedReply:
        """The reply, or MissingReply."""


class Recursion:
    """What the answer to one question takes from upstream servers.

    `was_wanted`: it would have been another answer without them, or with them. Nothing is taken
    if the client did not ask for recursion (RD), which `forwarded` None stands for.
    """

    def __init__(self, forwarded: Forwarded | None) -> None:
        self._forwarded = forwarded
        self.was_wanted = False

    def read(self, name: Labels, type_: int) -> ForwardedReply | None:
        """The reply, or MissingReply; None without recursion."""
        self.was_wanted = True
        if self._forwarded is None:
            return None
        return self._forwarded.read(ForwardedQuestion(name, type_))
