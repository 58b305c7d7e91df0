"""What is free is the least of the machine and of every control group around the process."""

from types import SimpleNamespace

import pytest

from patchail_jax.errors import UserError
from patchail_jax.storage import memory


def test_a_replay_that_does_not_fit_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2 * 1024**3)
    assert memory.require_memory(1024**3) == "replay: 1.00 GiB of 2.0 GiB free memory"
    with pytest.raises(UserError, match=r"needs 3.0 GiB, and 2.0 GiB of memory are free") as error:
        memory.require_memory(3 * 1024**3)
    assert "\n" not in str(error.value)


def test_what_a_save_takes_beside_the_replay_counts(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 21 * 1024**3)
    assert memory.require_memory(20 * 1024**3).startswith("replay: 20.00 GiB")
    with pytest.raises(UserError, match=r"needs 20.8 GiB, and 21.0 GiB .* of which a save takes 0.50; lower"):
        memory.require_memory(int(20.8 * 1024**3))


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """``groups(line)`` puts this process into the control groups of a /proc/self/cgroup; returns where they lie."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")

    def enter(line):
        (tmp_path / "own").write_text(line + "\n")
        return tmp_path / "cgroup"

    return enter


def fill(folder, limit, usage, inactive=0, *, version=2):
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"active_file 1\n{names[2]} {inactive}\n")


def test_the_group_of_a_container_counts(groups):
    fill(groups("0::/"), 1_000_000, 400_000)
    assert memory.available() == 600_000


def test_a_group_without_a_limit_does_not_count(groups):
    fill(groups("0::/"), "max", 400_000)
    assert memory.available() > 10_000_000


def test_the_tightest_of_nested_groups_counts(groups):
    root = groups("0::/job/step")
    fill(root / "job" / "step", "max", 100)
    fill(root / "job", 1_000_000, 300_000)
    assert memory.available() == 700_000
    fill(root / "job" / "step", 500_000, 300_000)
    assert memory.available() == 200_000


def test_version_one_groups_count(groups):
    root = groups("9:cpu:/x\n4:cpu,memory:/job\n0::/")
    fill(root / "memory" / "job", 900_000, 100_000, version=1)
    assert memory.available() == 800_000


def test_a_name_that_only_the_host_knows_leaves_the_root(groups):
    fill(groups("4:memory:/docker/abc") / "memory", 900_000, 100_000, version=1)
    assert memory.available() == 800_000


def test_pages_of_files_that_the_kernel_gives_back_are_free(groups):
    fill(groups("0::/"), 1_000_000, 900_000, inactive=700_000)
    assert memory.available() == 800_000


def test_a_group_over_its_limit_has_nothing_free(groups):
    fill(groups("0::/"), 1_000_000, 1_100_000)
    assert memory.available() == 0


def test_a_system_without_control_groups_has_what_the_machine_has(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "none")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "none")
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=123_456))
    assert memory.available() == 123_456


def test_what_the_machine_has_counts_where_it_is_less_than_the_group(groups, monkeypatch):
    fill(groups("0::/"), 1_000_000, 400_000)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=500_000))
    assert memory.available() == 500_000
