"""The journal's benchmark runs and says what it measured."""

from __future__ import annotations

from research.bench_journal import run


def test_each_group_size_is_measured_against_the_raw_file(tmp_path) -> None:
    result = run(quick=True, directory=tmp_path)
    groups = result["groups"]
    assert isinstance(groups, dict)
    assert list(groups) == ["1", "10", "100"]
    for group in groups.values():
        assert group["journal_p50_us"] > 0
        assert group["raw_p50_us"] > 0
        assert group["ratio"] > 0
    assert list(tmp_path.iterdir()) == []
    paced = result["paced"]
    assert paced["orders_per_s"] > 0
    assert 0 < paced["commit_p50_us"] <= paced["commit_p99_us"] <= paced["commit_max_us"]
