import re
import subprocess
import sys
import threading
import time

from kit.ids import new_id


def test_an_id_is_26_characters_of_crockfords_alphabet_in_lower_case() -> None:
    assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{26}", new_id())


def test_ids_sort_by_when_they_were_made_even_within_a_millisecond() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_begins_with_its_time() -> None:
    before = time.time_ns() // 1_000_000
    text = new_id()
    number = 0
    for character in text[:10]:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    assert before <= number <= time.time_ns() // 1_000_000


def test_threads_never_make_the_same_id() -> None:
    made: list[str] = []

    def make() -> None:
        mine = [new_id() for _ in range(2_000)]
        made.extend(mine)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16_000


def test_forked_children_do_not_count_on_from_their_parent() -> None:
    # as when the clock steps back after the fork: both children would continue the parent's count
    script = """
import os
from kit import ids
ids.new_id()
ids._last_ms += 3_600_000
for _ in range(2):
    child = os.fork()
    if child == 0:
        os.write(1, ids.new_id().encode() + b" ")
        os._exit(0)
    os.waitpid(child, 0)
"""
    made = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert len(set(made)) == 2
