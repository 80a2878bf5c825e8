"""The one thing that pyproject.toml cannot say: the handbook, which is written in `docs/`, goes into the package."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PAGES = ("README.md", "docs/*.md", "docs/notes/*.md")
NOISE = ("docs/rules.md",)


class BuildWithHandbook(build_py):
    """Copies the pages beside the modules; an editable installation reads them where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._pages().items():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                copyfile(ROOT / source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._pages().values()]

    def _pages(self) -> dict[str, str]:
        """Where each page is, below this folder, and where it goes."""
        found = sorted(str(path.relative_to(ROOT)) for glob in PAGES for path in ROOT.glob(glob))
        return {page: str(Path(self.build_lib, "hanok", "handbook", page)) for page in found if page not in NOISE}


setup(cmdclass={"build_py": BuildWithHandbook})
