"""An extension of Griffe, which reads docstrings for the site: examples are blocks of code.

Docstrings here have a section `Example:`, which Griffe calls `Examples:`, and examples between
paragraphs, which Markdown would take for quotations.
"""

import re
from typing import Any

import griffe


class ExamplesAsCode(griffe.Extension):
  """Prepares every docstring before it is parsed."""

  def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
    """Rewrites the docstring of an object, if it has one.

    Args:
      obj: the module, class, function or attribute.
      **kwargs: what Griffe gives beside it.
    """
    if obj.docstring:
      obj.docstring.value = with_code(obj.docstring.value)


def with_code(docstring: str) -> str:
  """Returns a docstring whose examples are code for Griffe and for Markdown.

  Args:
    docstring: as it is in the source, without its indentation.
  """
  docstring = re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE)
  blocks = re.split(r"\n\s*\n", docstring)
  fenced = [f"```python\n{block}\n```" if block.startswith(">>>") else block for block in blocks]
  return "\n\n".join(fenced)
