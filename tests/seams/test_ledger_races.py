"""Several processes open and close the books of one folder at the same moments: nobody is in another's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hanok.ledger import Ledger

ROOT = Path(__file__).parents[2]
COMES_AND_GOES = """
import logging, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hanok.ledger.stores.journal import Journal
from hanok.ledger.stores.tabs import Tabs, left_tabs
from tests.charges import charge
folder = Path(sys.argv[2])
for _ in range(100):
    journal = Journal(folder / "journal", os.getpid())
    tabs = Tabs(folder / "tabs" / f"{os.getpid()}-{os.urandom(8).hex()}.tabs")
    journal.open.add(charge(1))
    for left in [*journal.left_behind(), *left_tabs(folder / "tabs")]:
        raise SystemExit(f"{left} is not left: its process lives")
    assert len(list(journal.turn().read())) == 1
    for path in (folder / "journal").glob(f"{os.getpid()}-*"):
        path.unlink()
    tabs.drop()
"""


def test_a_file_that_was_just_made_is_nobodys_legacy(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMES_AND_GOES, str(ROOT), str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert said == ["", "", ""]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert list((tmp_path / "tabs").iterdir()) == []
    with Ledger(tmp_path) as ledger:
        ledger.start()
