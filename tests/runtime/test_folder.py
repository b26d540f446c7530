"""A command writes what it made and nothing else: inputs, users' files and links, what is stale, what was edited."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.folder import OutFolder
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.manifest import FILE, read_manifest
from cbec_bayes.runtime.staging import locked


def place(out: Path, command: str = "fit", *names: str, **more) -> OutFolder:
    return OutFolder(path=out, commands=[command], names=names or ["effects.csv", "figures/*.svg"], **more)


def content(folder: Path) -> dict[str, str]:
    """Return every file but the list of them, with what is read through links."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != FILE)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def written(out: Path, command: str = "fit", of: str = "", **files: str) -> list[str]:
    """Write files as a command; `effects` stands for effects.csv."""
    named = {f"{name}.csv": text for name, text in files.items()}
    return OutFolder(path=out, commands=[command], names=["*.csv"], of=of).write({command: named}, {command: "{}"})


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
def test_what_no_run_made_is_refused_at_once(tmp_path, kind):
    out = tmp_path / "out"
    out.mkdir()
    target = out / "effects.csv"
    match kind:
        case "file":
            target.write_text("mine")
        case "link":
            (tmp_path / "store.csv").write_text("mine")
            target.symlink_to(tmp_path / "store.csv")
        case "dangling link":
            target.symlink_to(tmp_path / "store.csv")
        case "folder":
            target.mkdir()
    before = content(tmp_path)
    for refused in (place(out).vet, lambda: place(out).write({"fit": {"effects.csv": "new"}})):
        with pytest.raises(
            InputError,
            match=(
                r"effects\.csv: (a (file|link) of this name is here|a file cannot be written here, because a "
                r"folder has this name)"
            ),
        ):
            refused()
    assert content(tmp_path) == before
    assert not (out / FILE).exists()


@pytest.mark.parametrize("kind", ["same", "link", "hard link", "target a link", "other letters", "through a folder"])
def test_an_input_is_spared_under_every_name(tmp_path, kind):
    out = tmp_path / "out"
    written(out, effects="old")  # ours by the list, and an input all the same
    own = out / "effects.csv"
    data = tmp_path / "data.csv"
    match kind:
        case "same":
            data = own
        case "link":
            data.symlink_to(own)
        case "hard link":
            os.link(own, data)
        case "target a link":
            own.rename(data)
            own.symlink_to(data)
        case "other letters":
            data = out / "EFFECTS.csv"
            data.write_text("data")
        case "through a folder":
            (tmp_path / "by another name").symlink_to(out)
            data = tmp_path / "by another name" / "effects.csv"
    before = content(tmp_path)
    with pytest.raises(InputError, match="would replace its own input"):
        place(out, reads=[data]).vet()
    with pytest.raises(InputError, match="would replace its own input"):
        place(out, reads=[data]).write({"fit": {"effects.csv": "new"}})
    assert content(tmp_path) == before


def test_nothing_is_written_into_a_folder_that_is_read_as_a_whole(tmp_path):
    (tmp_path / "tables").mkdir()
    with pytest.raises(InputError, match="into the folder of its own input"):
        place(tmp_path / "tables", reads=[tmp_path / "tables"]).vet()
    out = tmp_path / "out"
    out.mkdir()
    (out / "figures").symlink_to(tmp_path / "tables")
    with pytest.raises(InputError, match="into the folder of its own input"):
        place(out, reads=[tmp_path / "tables"]).vet()
    place(tmp_path / "tables" / "out", reads=[tmp_path / "tables"]).vet()  # below it nothing is read


def test_a_link_of_ours_is_replaced_and_what_it_leads_to_stays(tmp_path):
    """As git-annex and DVC leave what they were given: a link to content that must not change."""
    out, store = tmp_path / "out", tmp_path / "store"
    written(out, effects="old", classical="old")
    store.mkdir()
    for name in ("effects.csv", "classical.csv"):
        (out / name).rename(store / name)
        (out / name).symlink_to(store / name)
        (store / name).chmod(0o444)
    place(out).vet()
    assert written(out, effects="new") == []
    assert content(store) == {"effects.csv": "old", "classical.csv": "old"}
    assert content(out) == {"effects.csv": "new", ".fit.receipt": "{}"}
    assert not (out / "effects.csv").is_symlink()
    assert not (out / "classical.csv").is_symlink()  # stale, so that the link is gone


def test_a_link_of_ours_to_what_is_not_at_hand_is_replaced_or_removed(tmp_path):
    out = tmp_path / "out"
    written(out, effects="old", classical="old")
    for name in ("effects.csv", "classical.csv"):
        (out / name).unlink()
        (out / name).symlink_to(tmp_path / "dropped")
    assert written(out, effects="new") == []
    assert sorted(path.name for path in out.iterdir()) == [FILE, ".fit.receipt", "effects.csv"]
    assert content(out)["effects.csv"] == "new"


def test_a_sub_folder_that_is_a_link_is_written_through(tmp_path):
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    (scratch / "mine.txt").write_text("mine")
    (out / "figures").symlink_to(scratch)
    place(out).vet()
    place(out).write({"fit": {"effects.csv": "1", "figures/a.svg": "1", "figures/b.svg": "1"}})
    place(out).vet()
    place(out).write({"fit": {"effects.csv": "2", "figures/a.svg": "2"}})
    assert content(scratch) == {"mine.txt": "mine", "a.svg": "2"}
    assert (out / "figures").is_symlink()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder", "of another command"])
def test_anything_that_no_run_made_is_refused_where_names_follow_a_pattern(tmp_path, kind):
    out = tmp_path / "out"
    (out / "figures").mkdir(parents=True)
    target = out / "figures" / "mine.svg"
    match kind:
        case "file":
            target.write_text("mine")
        case "link":
            (tmp_path / "store.svg").write_text("mine")
            target.symlink_to(tmp_path / "store.svg")
        case "dangling link":
            target.symlink_to(tmp_path / "store.svg")
        case "folder":
            target.mkdir()
        case "of another command":
            place(out, "run").write({"run": {"figures/mine.svg": "1"}})
    (out / "figures" / "mine.svg.edited").write_text("mine")
    (out / "figures" / "notes.txt").write_text("mine")
    before = content(tmp_path)
    said = (
        r"figures/mine\.svg: (a (file|link) of this name is here|a file cannot be written here, because a folder "
        r"has this name|`run` made this)"
    )
    for refused in (place(out).vet, lambda: place(out).write({"fit": {"figures/mine.svg": "new"}})):
        with pytest.raises(InputError, match=said):
            refused()
    assert content(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="a second disk is needed")
def test_a_sub_folder_on_another_disk_is_written_to(tmp_path):
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if os.stat(other).st_dev == tmp_path.stat().st_dev:
            pytest.skip("it is the same disk")
        out = tmp_path / "out"
        out.mkdir()
        (out / "figures").symlink_to(other)
        place(out).write({"fit": {"effects.csv": "1", "figures/a.svg": "1"}})
        assert content(Path(other)) == {"a.svg": "1"}
        assert content(out)["effects.csv"] == "1"


@pytest.mark.parametrize("kind", ["dangling link", "link to a file", "file"])
def test_a_sub_folder_that_is_none_is_refused_at_once(tmp_path, kind):
    out = tmp_path / "out"
    out.mkdir()
    if kind != "dangling link":
        (tmp_path / "file").write_text("mine")
    if kind == "file":
        (out / "figures").write_text("mine")
    else:
        (out / "figures").symlink_to(tmp_path / "file")
    with pytest.raises(InputError, match=r"figures: (this link leads to no folder|a file is where a folder)"):
        place(out).vet()


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "scratch")
    place(tmp_path / "out").vet()
    with locked(tmp_path / "scratch"):  # the same folder, and the same lock
        written(tmp_path / "out", effects="1")
    assert content(tmp_path / "scratch")["effects.csv"] == "1"


def test_what_is_no_longer_written_is_removed(tmp_path):
    out = tmp_path / "out"
    place(out).write({"fit": {"effects.csv": "1", "figures/a.svg": "1"}}, {"fit": "receipt"})
    (out / "mine.csv").write_text("mine")
    place(out).write({"fit": {"effects.csv": "2"}})
    assert content(out) == {"effects.csv": "2", "mine.csv": "mine"}  # the receipt too: a gate was missed, say
    assert not (out / "figures").exists()
    assert [name for name, _ in read_manifest(out).files()] == ["effects.csv"]


def test_another_fit_takes_away_what_belonged_to_the_old_one(tmp_path, monkeypatch):
    out = tmp_path / "out"
    written(out, "fit", of="one", effects="1")
    written(out, "compare", of="one", compare="1")
    written(out, "audit", audit="1")
    own = set(content(out))
    written(out, "fit", of="one", effects="1")
    assert set(content(out)) == own  # it is the same fit
    with pytest.raises(InputError, match="another fit is in this folder"):
        written(out, "check", of="two", checks="2")
    with pytest.raises(InputError, match="another fit is in this folder"):
        place(out, "check", "checks.csv", of="two").vet()
    written(out, "fit", of="two", effects="2")
    assert set(content(out)) == own - {"compare.csv", ".compare.receipt"}
    written(out, "compare", of="two", compare="2")
    monkeypatch.setattr(receipts, "program_digest", lambda: "another")
    written(out, "check", of="two", checks="2")
    assert "compare.csv" in content(out)
    written(out, "fit", of="two", effects="2")  # by another program, so that numbers may differ
    assert set(content(out)) == own - {"compare.csv", ".compare.receipt"} | {"checks.csv", ".check.receipt"}


def test_results_about_one_fit_do_not_stand_beside_those_about_another(tmp_path):
    out = tmp_path / "out"
    written(out, "compare", of="one", compare="1")
    written(out, "check", of="one", checks="1")
    written(out, "check", of="two", checks="2")
    assert content(out) == {"checks.csv": "2", ".check.receipt": "{}"}


def test_what_another_command_made_is_not_written_over(tmp_path):
    out = tmp_path / "out"
    written(out, "published", effects="1")
    with pytest.raises(InputError, match=r"effects\.csv: `published` made this file"):
        place(out).vet()
    assert content(out)["effects.csv"] == "1"


def test_what_was_edited_is_kept_beside(tmp_path):
    out = tmp_path / "out"
    written(out, effects="1", classical="1")
    for k in ("first", "second"):
        (out / "effects.csv").write_text(k)
        (out / "classical.csv").write_text(k)
        kept = written(out, effects="2") if k == "second" else written(out, effects="2", classical="2")
        ending = ".edited" if k == "first" else ".edited-2"
        assert sorted(kept) == [f"classical.csv{ending}", f"effects.csv{ending}"]
    assert content(out) == {
        ".fit.receipt": "{}",
        "effects.csv": "2",
        "effects.csv.edited": "first",
        "effects.csv.edited-2": "second",
        "classical.csv.edited": "first",
        "classical.csv.edited-2": "second",
    }


def test_a_folder_of_a_release_without_the_list_is_known_by_its_receipts(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("effects.csv", "old.csv", "edited.csv"):
        (out / name).write_text("1")
    files = {"effects.csv": "1", "old.csv": "1", "edited.csv": "what it was", "../outside.csv": "1"}
    (tmp_path / "outside.csv").write_text("1")
    (out / ".fit.receipt").write_text(receipts.make("x", files).text())
    assert dict(read_manifest(out).made["fit"].files) == {
        name: receipts.content_digest("1") for name in ("effects.csv", "old.csv")
    }
    written(out, effects="2")
    assert content(out) == {"effects.csv": "2", "edited.csv": "1", ".fit.receipt": "{}"}
    assert content(tmp_path)["outside.csv"] == "1"


@pytest.mark.parametrize("text", ["mine", "{}", "[]", '{"kind": "files that cbec-bayes made here", "made": 1}', None])
def test_a_list_that_is_none_is_refused(tmp_path, text):
    if text is None:
        (tmp_path / FILE).symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match="not the list of files"):
        place(tmp_path).vet()


def test_a_list_that_names_files_elsewhere_is_refused(tmp_path):
    out = tmp_path / "out"
    (tmp_path / "mine").write_text("mine")
    written(out, effects="1")
    held = (out / FILE).read_text().replace("effects.csv", "../mine")
    (out / FILE).write_text(held)
    with pytest.raises(InputError, match="not the list of files"):
        written(out, effects="2")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_receipt_that_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / ".fit.receipt").write_text("of the grocer")
    with pytest.raises(InputError, match="not a receipt"):
        place(tmp_path).vet()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_journal_is_never_something_else(tmp_path, kind):
    path = tmp_path / "unfinished.jsonl"
    mine = tmp_path / "mine" if kind != "file" else path
    if kind == "link":
        journal = Journal(mine, "what")  # even to a journal
        journal.open()
        journal.close()
    elif kind == "file":
        mine.write_text("mine\n")
    if kind != "file":
        path.symlink_to(mine)
    before = content(tmp_path)
    for refused in (place(tmp_path, journals=[path.name]).vet, Journal(path, "what").open):
        with pytest.raises(InputError, match=r"unfinished\.jsonl: .* another kind of file"):
            refused()
    assert Journal(path, "what").read() == {}
    Journal(path, "what").remove()
    assert content(tmp_path) == before
    assert os.path.lexists(path)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".cbec_bayes.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="cannot be written"):
        written(out, effects="1")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (out / ".cbec_bayes.lock").is_symlink()


def test_a_lock_that_holds_something_is_not_removed(tmp_path):
    (tmp_path / ".cbec_bayes.lock").write_text("mine")
    written(tmp_path, effects="1")
    assert (tmp_path / ".cbec_bayes.lock").read_text() == "mine"


def test_a_command_says_beforehand_what_it_writes(tmp_path):
    with pytest.raises(AssertionError, match=r"fit did not say that it writes other\.csv"):
        place(tmp_path).write({"fit": {"other.csv": "1"}})


def test_a_file_that_cannot_be_put_into_place_is_said_and_comes_with_the_next_run(tmp_path, monkeypatch):
    out = tmp_path / "out"
    written(out, effects="1")
    real = os.replace

    def full(source, target):
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"effects\.csv: not every file could be put into its place"):
        written(out, effects="2")
    monkeypatch.setattr(os, "replace", real)
    with locked(out) as recovered:
        assert recovered
    assert content(out) == {"effects.csv": "2", ".fit.receipt": "{}"}
