"""Weights on the Hugging Face Hub: `--init_from=hf:<owner>/<name>`, with `@<revision>` and `/<file>` if they are wanted.

A file is downloaded once, into the Hub's own cache ($HF_HOME, by default ~/.cache/huggingface), and is then found without a
network. Without a file in the name it is the first of FILES that the repository has. $HF_ENDPOINT names a mirror, and a token
of `hf auth login` opens repositories whose licence one has to accept.
"""

import pathlib
import re

from models import weights

PREFIX = "hf:"
FILES = ("model.safetensors", "pytorch_model.bin")  # in this order
_ADVICE = (
    "`hf auth login` gives it your token; /<file> after the name takes a file with another name; "
    "without a network, download the file elsewhere and give its path."
)
# A revision is a commit, a branch or a tag without a slash, or that of a pull request, `refs/pr/1`.
_NAME = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:pr|convert)/\w+|[\w.-]+))?(?:/(?P<file>[^@]+))?"
)


def is_named(source: str) -> bool:
    """Whether an --init_from names a repository of the Hub."""
    return source.startswith(PREFIX)


def parse(source: str) -> tuple[str, str | None, tuple[str, ...]]:
    """(repository, revision or None, the files of which the first is wanted that is there).

    Raises:
        ValueError: if the text has another form, or names a file that has no weights that we read.
    """
    found = _NAME.fullmatch(source)
    if not found:
        raise ValueError(
            f"Expected --init_from=hf:<owner>/<name>, then @<revision> and /<file> if they are wanted. Received: {source}."
        )
    file = found["file"]
    if file and pathlib.PurePosixPath(file).suffix not in weights.SUFFIXES:
        raise ValueError(f"Expected a file with one of the endings {', '.join(weights.SUFFIXES)}. Received: {source}.")
    return found["repository"], found["revision"], (file,) if file else FILES


def path(source: str) -> pathlib.Path:
    """The file of weights that `hf:..` names, in the cache; it is downloaded if it is not there.

    Raises:
        FileNotFoundError: if the package, the network, the repository or the file is missing, or a licence is not accepted;
            it says what to do.
        ValueError: if the text has another form.
    """
    repository, revision, files = parse(source)
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise FileNotFoundError(
            f"Expected the package huggingface_hub, which downloads {source}. Received: {error}. Run `pip install '.[hub]'` in "
            "the folder of tfseg, or download the file elsewhere and give its path."
        ) from error
    where = {"repo_id": repository, "revision": revision}
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(filename=file, **where)
        if isinstance(cached, str):
            return pathlib.Path(cached)
    for file in files:
        try:
            return pathlib.Path(huggingface_hub.hf_hub_download(filename=file, **where))
        except errors.LocalEntryNotFoundError as error:  # also an EntryNotFoundError, but nobody was asked
            problem, cause = "no answer of the Hub, and no such file in its cache", error
            break
        except errors.EntryNotFoundError as error:
            problem, cause = "a repository without it", error
        except Exception as error:  # some are those of the library that it uses for HTTP
            problem, cause = _reason(error, errors), error
            break
    at = f" at {revision}" if revision else ""
    raise FileNotFoundError(
        f"Expected to download {' or '.join(files)} of {repository}{at}. Received: {problem}. {_ADVICE}"
    ) from cause


def _reason(error, errors):
    """What an error of huggingface_hub says, in short."""
    if isinstance(error, errors.GatedRepoError):
        return "a repository whose licence has to be accepted on its page first, by the owner of your token"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no repository of this name that you may read"
    if isinstance(error, errors.RevisionNotFoundError):
        return "a repository without this revision"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
