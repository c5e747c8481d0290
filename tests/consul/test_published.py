"""What the workers were sent, compared with a worker that takes the messages."""

from hypothesis import given
from hypothesis import strategies as st

from consuldns.consul.watch.published import MAX_REASON, Published, Trust
from consuldns.views import keys, model, reverse_names, updates
from consuldns.views.keys import ViewKey

WEB, ZONES = keys.ServiceInstances("dc1", "web"), keys.ReverseZoneList()
VIEWS = {
    WEB: (model.Instances(1, ()), model.Instances(2, ())),
    ZONES: (reverse_names.ReverseZones(1, ("a",)), reverse_names.ReverseZones(2, ("b",))),
}


class Model:
    """What a worker believes, and who still waits for an answer."""

    def __init__(self) -> None:
        self.trust: dict[ViewKey, Trust] = {}
        self.waiting: set[ViewKey] = set()

    def take(self, update: updates.ToWorker) -> None:
        match update:
            case updates.Replaced(key, _, kept):
                self.trust[key] = Trust.STALE if kept else Trust.CURRENT
            case updates.Current(key) if key in self.trust:
                self.trust[key] = Trust.CURRENT
            case updates.Outdated(outdated):
                for each in outdated:
                    stale = self.trust[each].is_stale
                    self.trust[each] = Trust.DOUBTED if stale else Trust.OUTDATED
            case updates.Unavailable(key, reason):
                assert len(reason.encode()) <= MAX_REASON
                if key in self.trust and not self.trust[key].is_stale:
                    is_outdated = self.trust[key].is_outdated
                    self.trust[key] = Trust.DOUBTED if is_outdated else Trust.STALE
            case updates.Forgotten(key):
                del self.trust[key]
        if isinstance(update, updates.Replaced | updates.Current | updates.Unavailable):
            self.waiting.discard(update.key)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["need", "replace", "replace kept", "confirm", "keep", "outdate", "forget"]
        ),
        st.sampled_from([WEB, ZONES]),
        st.integers(0, 1),
    )
)


def do(published: Published, step: str, key: ViewKey, number: int) -> None:
    """A step of control."""
    match step:
        case "need":
            published.need(key)
        case "replace":
            published.replace(key, VIEWS[key][number])
        case "replace kept":
            published.replace(key, VIEWS[key][number], kept=f"reason {number} \u00e9" * 9)
        case "confirm":
            published.confirm(key)
        case "keep":
            published.keep(key, f"reason {number}")
        case "outdate":
            published.mark_outdated((key,))
        case "forget":
            published.forget(key)


@given(STEPS)
def test_trust_is_what_the_messages_say(steps: list[tuple[str, ViewKey, int]]) -> None:
    worker = Model()
    published = Published(worker.take, clock=lambda: 0.0)
    for step, key, number in steps:
        do(published, step, key, number)
        if step == "need":
            worker.waiting.add(key)
        for each in (WEB, ZONES):
            assert published.trust(each) is worker.trust.get(each)
            assert published.is_needed(each) == (each in worker.waiting)
        if step in ("replace", "confirm", "keep", "replace kept"):
            assert key not in worker.waiting, "whatever is said of a view answers those who wait"
    fresh = Model()
    for update in published.known():
        fresh.take(update)
    assert fresh.trust == worker.trust
