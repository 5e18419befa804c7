"""To the hub: a folder becomes a repository of models there, in one commit; what goes wrong is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_ensemble.errors import UserError, first_line

_SAID = {
    400: "it refused what was sent",
    401: "it wants a token that is valid: `hf auth login`, or HF_TOKEN",
    403: "the token may not write there",
    404: "there is no such user or organisation, or the token may not see it",
}
"""What the commonest refusals mean."""


def check_name(repo: str) -> str:
    """Raises UserError for what is no user/name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"{repo!r} is no name of a repository: {first_line(error)}") from None
    if repo.count("/") != 1 or repo.startswith(("/", ".")):
        raise UserError(f"{repo!r} is no name of a repository: expected user/name")
    return repo


def upload(folder: Path, repo: str, *, private: bool = False, token: str | None = None, message: str = "") -> str:
    """Everything in the folder, in one commit; the repository is made where it is missing. Returns its address.

    Raises UserError, naming repository and cause: no network, no valid token, no right to write, an invalid name."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    check_name(repo)
    with hub_errors(repo):
        made = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message or "An ensemble of lora-ensemble")
    return str(made)


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """What the hub's client raises inside becomes a UserError of one line. Anything else stays what it is."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        code = getattr(getattr(error, "response", None), "status_code", None)
        said = _SAID.get(code or 0, first_line(error))
        raise UserError(f"the hub did not take {repo} ({code}): {said}") from None
    except Exception as error:  # the HTTP client under it is another one in each version
        if not isinstance(error, OSError) and not type(error).__module__.startswith(("httpx", "httpcore", "requests")):
            raise
        raise UserError(f"the hub cannot be reached for {repo}: {first_line(error)}") from None
