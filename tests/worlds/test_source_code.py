"""The source version of a module follows everything that the module imports."""

from unamortized.worlds import source_code
from unamortized.worlds.source_code import read_sources, source_version


def test_the_source_version_follows_a_module_and_all_that_it_imports(tmp_path, monkeypatch):
    monkeypatch.setattr(source_code, "__file__", str(tmp_path / "mine" / "worlds" / "source_code.py"))
    texts = {
        "__init__": "",
        "worlds/__init__": "",
        "worlds/a": "from mine.worlds import b\n",
        "worlds/b": "def late():\n    import mine.models.c\n",
        "models/c": "import numpy\n",
        "models/d": "",
    }

    def version(module: str, **changed: str) -> str:
        for name, text in (texts | changed).items():
            (tmp_path / "mine" / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "mine" / f"{name}.py").write_text(text)
        read_sources.cache_clear()
        return source_version(read_sources(), module)

    before = version("mine.worlds.a")
    assert version("mine.worlds.a") == before
    assert version("mine.worlds.a", **{"models/d": "unrelated = 1\n"}) == before
    for name in ("worlds/a", "worlds/b", "models/c"):  # itself, imported as a name, imported within a function
        assert version("mine.worlds.a", **{name: texts[name] + "changed = 1\n"}) != before
    assert version("mine.models.d") != version("mine.models.c")
    assert version("elsewhere.tests") == version("elsewhere.tests", **{"models/c": "changed = 1\n"})
    read_sources.cache_clear()


def test_the_version_of_an_evaluation_covers_exact_inference_but_not_the_figures():
    def reached(module):
        seen, frontier = {module}, [module]
        while frontier:
            found = read_sources()[frontier.pop()].imports - seen
            seen |= found
            frontier += found
        return seen

    of_lengths = reached("unamortized.evaluation.generalization")
    assert {
        "unamortized.worlds.kernels",
        "unamortized.worlds.processes.groups",
        "unamortized.models.transformer",
    } <= of_lengths
    assert not any("studies" in module or "probes" in module for module in of_lengths)
