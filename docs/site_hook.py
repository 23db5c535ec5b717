"""A hook of MkDocs: pages from files beside docs/, members of packages, and links.

The README is the site's home, and CHANGELOG.md and CONTRIBUTING.md are pages too. On GitHub, links
to folders and to files outside docs/ work; on the site they become plain text, or links to the
repository where `repo_url` is set in mkdocs.yml.

The line `<!-- members of PACKAGE -->` in a page stands for the documentation of all public
functions and classes of a package. They are listed by importing it, since a package may make its
`__all__` when it is imported.
"""

import importlib
import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The files of the repository that are pages of the site, by the path of the page.
PAGES = {
  "index.md": "README.md",
  "changelog.md": "CHANGELOG.md",
  "contributing.md": "CONTRIBUTING.md",
}
_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_IMAGE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<target>[^()\s]+)\)")
_MEMBERS = re.compile(r"^<!-- members of ([\w.]+) -->$", re.MULTILINE)
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
  """Adds the pages whose text is beside docs/."""
  for page, source in PAGES.items():
    content = (ROOT / source).read_text(encoding="utf-8")
    files.append(File.generated(config, page, content=content))
  return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
  """Returns the text of a page with its links as the site has them."""
  source = PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
  present = {file.src_uri for file in files}

  def link(match: re.Match) -> str:
    target = match["target"]
    if re.match(r"[a-z]+:|#", target):
      return match[0]
    path, hash_sign, anchor = target.partition("#")
    uri = resolve(path, source)
    if uri in present:
      start = posixpath.dirname(page.file.src_uri)
      return f"[{match['text']}]({posixpath.relpath(uri, start or '.')}{hash_sign}{anchor})"
    if not (ROOT / posixpath.join(posixpath.dirname(source), path)).exists():
      return match[0]  # MkDocs warns of it
    if config.repo_url:
      place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
      return f"[{match['text']}]({config.repo_url.rstrip('/')}/blob/HEAD/{place})"
    return match["text"]

  markdown = _MEMBERS.sub(lambda match: "\n\n".join(members(match[1])), markdown)
  parts = _FENCE.split(markdown)  # blocks of code are at the odd positions
  parts[::2] = [_IMAGE.sub(lambda m: "!" + link(m), _LINK.sub(link, text)) for text in parts[::2]]
  return "".join(parts)


def members(package: str) -> list[str]:
  """Returns the lines by which mkdocstrings documents the public members of a package.

  Classes of states are left out: users pass states on, and do not make them.

  Args:
    package: its name; it is imported.
  """
  module = importlib.import_module(package)
  values = [getattr(module, name) for name in module.__all__ if not name.endswith("State")]
  own = [v for v in values if callable(v) and v.__module__.startswith(package)]
  # An alias is another name of a function that is there already.
  return list(dict.fromkeys(f"::: {value.__module__}.{value.__qualname__}" for value in own))


def resolve(path: str, source: str) -> str:
  """Returns the site's path of the file that a link leads to.

  Args:
    path: of the link, from the file that has it.
    source: the path of that file in the repository.
  """
  place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
  pages = {source: page for page, source in PAGES.items()}
  return pages.get(place, place.removeprefix("docs/"))
