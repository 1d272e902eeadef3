"""Laws of the whole sandbox behind its socket, in any weather."""

import heapq
import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.sandbox.exchange import HttpRequest
from bulklink.sandbox.multipart import boundary_of
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.reception import Reception
from bulklink.sandbox.service import Service
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.visits import Delivery, Step
from bulklink.sandbox.weather_file import load_weather

ORIGIN = "http://127.0.0.1:8080"
API = f"{ORIGIN}/api/data/v9.2"
ACCOUNTS = [f"00000000-0000-4000-8000-0000000000a{n}" for n in range(4)]
LEADS = [f"00000000-0000-4000-8000-0000000000b{n}" for n in range(8)]


def batch(change_sets):
    """Change sets of (account, lead) pairs to link, with Content-IDs 1..n."""
    lines, number = [], 0
    for links in change_sets:
        lines += ["--b", "Content-Type: multipart/mixed; boundary=cs", ""]
        for account, lead in links:
            number += 1
            lines += ["--cs", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
            lines += [
                f"Content-ID: {number}",
                "",
                f"POST {API}/accounts({account})/accountleads_association/$ref HTTP/1.1",
            ]
            lines += ["Content-Type: application/json", "", json.dumps({"@odata.id": f"{API}/leads({lead})"})]
        lines += ["--cs--"]
    body = "\r\n".join([*lines, "--b--", ""]).encode()
    headers = {
        "authorization": "Bearer any",
        "content-type": "multipart/mixed; boundary=b",
        "prefer": "odata.continue-on-error",
    }
    return HttpRequest("POST", "/api/data/v9.2/$batch", "", headers, body, ORIGIN)


def succeeded(answer):
    """The Content-IDs that were answered 204; none if the answer is no batch answer."""
    content_type = dict(answer.headers).get("Content-Type", "")
    if not content_type.startswith("multipart/mixed"):
        return set()
    parts = answer.body.split(b"Content-ID: ")[1:]
    assert answer.body.endswith(b"--" + boundary_of(content_type) + b"--\r\n")
    return {int(part.split(b"\r\n", 1)[0]) for part in parts if b"HTTP/1.1 204 " in part}


def new_reception(weather, seed, toggles):
    organisation = Organisation.sample()
    organisation.load_table("account", [{"accountid": record_id} for record_id in ACCOUNTS])
    organisation.load_table("lead", [{"leadid": record_id} for record_id in LEADS])
    reception = Reception(
        Service(organisation, toggles),
        weather=load_weather(weather, seed),
        toggles=toggles,
        limits=Limits(requests=30, window_s=60.0),
        seed=seed,
    )
    return organisation, reception


pairs = st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(LEADS))
batches = st.lists(st.lists(st.lists(pairs, min_size=1, max_size=3), min_size=1, max_size=3), max_size=30)
toggles = st.builds(
    Toggles,
    malformed_part=st.sampled_from(["validate-first", "lazy"]),
    unblamed=st.sampled_from(["never", "always"]),
    throttled_part=st.sampled_from(["never", "inject"]),
    batch_time_max_s=st.sampled_from([0, 1]),
)


@given(
    asked=batches, weather=st.sampled_from(["calm", "busy-day", "rough-night"]), seed=st.integers(0, 99), chosen=toggles
)
@settings(max_examples=40, deadline=None)
def test_what_is_answered_204_is_linked_and_what_is_linked_was_asked(asked, weather, seed, chosen):
    """Truth: an answered success is a link; a link that nobody was told of belongs to an answer that was lost."""
    organisation, reception = new_reception(weather, seed, chosen)
    source = random.Random(seed)
    due, number = [], 0
    for change_sets in asked:
        number += 1
        heapq.heappush(due, (source.uniform(0, 40), number, "arrive", change_sets))
    told, doubtful = set(), set()
    while due:
        now_s, _, what, payload = heapq.heappop(due)
        if what == "arrive":
            visit = reception.arrive(batch(payload), now_s)
            links = [link for change_set in payload for link in change_set]
            for at_s, step in visit.steps:
                assert at_s >= now_s
                number += 1
                heapq.heappush(due, (at_s, number, step, (visit, links)))
            continue
        visit, links = payload
        if what is Step.WORK:
            reception.work(visit, now_s)
            continue
        answer = reception.answer(visit, now_s)
        if visit.delivery is Delivery.WHOLE and answer.status not in {502, 503, 504}:
            told |= {links[content_id - 1] for content_id in succeeded(answer)}
        else:
            doubtful |= set(links)
    linked = set(organisation.links("accountleads_association"))
    assert told <= linked
    assert linked <= told | doubtful
    assert reception.tally.in_flight == 0
