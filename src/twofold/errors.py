"""The error tree: every error has a stable code, says what is wrong, and says what to do about it.

Hierarchy (codes in brackets)::

    TwofoldError [twofold]
    ├── ConfigError [config]
    │   ├── BadFilter [config.filter]               a condition on metadata that cannot be read, or finds nothing ever
    │   └── UnknownName [config.unknown-name]       a plugin, model or arm that nobody defined
    ├── DataError [data]
    │   ├── BadRecord [data.bad-record]             a malformed line of a JSONL, CSV or JSON file
    │   ├── UnknownDocument [data.unknown-document] an example names a document that does not exist
    │   ├── UnreadableFile [data.unreadable]        missing, wrong encoding, no reader
    │   ├── LeftOut [data.left-out]                 met in a folder, and not read by its name or where it leads
    │   ├── DamagedFile [data.damaged]              corrupt, truncated, or not what its ending says
    │   ├── EncryptedFile [data.encrypted]          needs a password that was not given, or another one
    │   ├── ScannedFile [data.scanned]              pictures of text only
    │   ├── FileTooLarge [data.too-large]           more bytes, text or memory than allowed
    │   ├── FileTimeout [data.timeout]              reading it took longer than allowed
    │   ├── ReaderCrashed [data.crashed]            the process that read it died
    │   ├── TooFewExamples [data.too-few]           an empty split, no documents, no examples
    │   └── LeakFound [data.leak]                   a test question stands in the training data
    ├── SourceError [source]                        a source refuses, or what it gives is not usable
    │   ├── SourceUnreachable [source.unreachable]  down, timed out, or not to be found now
    │   ├── SourceEndless [source.endless]          more bytes, rows or seconds than allowed
    │   └── SourceQuery [source.query]              a SQL statement that fails, or that writes
    ├── AccessDenied [access]                       access control is on: no principal, or not for this one
    ├── MissingExtra [install.missing-extra]        an optional dependency is not installed
    ├── ModelError [model]
    │   ├── ModelNotPulled [model.not-pulled]       weights are not in the cache
    │   ├── DigestMismatch [model.digest]           downloaded bytes are not the pinned ones
    │   └── TermsNotAccepted [model.terms]          nobody here accepted a model's terms of use
    ├── IndexMismatch [index.mismatch]              made by another embedder, or a version that is gone
    ├── IndexEmpty [index.empty]                    nothing is indexed yet
    ├── GenerationError [generation]                an engine or endpoint failed as a whole
    │   └── EndpointUnreachable [generation.unreachable]  nothing answers there, or not in time
    ├── TrainingError [training]
    │   ├── NothingToLearn [training.masked]        a row has no completion token to learn from
    │   ├── TemplateMismatch [training.template]    an adapter was trained with another prompt template
    │   └── WrongWeights [training.weights]         an adapter was trained on other base weights
    ├── ClusterError [scale]                        the cluster lost a batch for good, or has no room for a worker
    │   ├── ClusterUnreachable [scale.unreachable]  no Ray cluster answers at the address, or none could be started
    │   └── WorkerUnlike [scale.worker]             another version, other weights, or an extra that is missing
    ├── StoreError [store]
    │   ├── DiskFull [store.full]                   no space is left, or the quota is used up
    │   ├── AuditUnwritable [store.audit]           the audit log cannot be written, and must be
    │   ├── IndexDamaged [store.index]              the index's files cannot be read
    │   ├── ProjectLocked [store.locked]            another process is writing
    │   ├── ProjectMissing [store.no-project]       no twofold.toml here
    │   ├── DatabaseUnreachable [store.unreachable] nothing answers at the database's address
    │   └── DatabaseRefused [store.refused]         wrong password or key, or a missing right
    ├── StudyError [study]
    │   └── ScorerBroken [study.scorer]             gold answers do not score 1, or shuffled gold does
    ├── AlertUndelivered [watch.alert]              the receiver of an alert does not take it, or not in time
    └── ServingError [serving]                      the server refuses a request, or cannot start
        ├── QueueFull [serving.busy]                more requests wait than may
        ├── OverLimit [serving.limit]               more requests or tokens than this key or address may have
        ├── Closing [serving.closing]               the server is stopping and takes no more requests
        ├── PartDown [serving.down]                 the index or the engine is down
        ├── DeadlinePassed [serving.deadline]       no answer within the request's time
        ├── BadRequest [serving.request]            a parameter is unknown, unsupported or has a wrong value
        ├── TooLong [serving.too-long]              a conversation exceeds the model's context
        ├── NotServed [serving.missing]             no such address, model or document, or none for this key
        ├── Conflict [serving.conflict]             the document is there already, or is not the version named
        ├── IssuerDown [serving.issuer]             the identity provider does not answer, or not as one
        ├── BadKey [serving.key]                    no API key, or one that is unknown, expired or revoked
        └── Forbidden [serving.scope]               the API key lacks the scope

Exit codes of the command line: 0 done; 1 a study or check finished and found failures; 2 wrong use (config, data,
missing extra); 3 a model, index, training or store error; 4 what was to be shown cannot be told from the questions
(`compare --fail-if-worse`); 130 interrupted.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from twofold.text.masking import masked_text


def install(extras: str) -> str:
    """The command that installs optional dependencies; the clone is their only source, not a package index."""
    return f"pip install -e '.[{extras}]' in the clone"


class TwofoldError(Exception):
    """Parent of all errors raised on purpose.

    Args:
        message: What is wrong, one sentence, without the place; logins in addresses are taken out (`masking`).
        cure: What to do about it, without logins; the class's own cure when omitted.
        file: The file at fault, if any.
        line: Its 1-based line, if any.
    """

    code: ClassVar[str] = "twofold"
    cure: str = "Run the command again with --verbose and read the first error."
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, cure: str | None = None, file: object = None, line: int | None = None) -> None:
        # Here, so that no error of any kind shows a secret.
        self.message = masked_text(message)
        self.file = None if file is None else str(file)
        self.line = line
        if cure is not None:
            self.cure = masked_text(cure)
        super().__init__(str(self))

    def __str__(self) -> str:
        place = "" if self.file is None else self.file + ("" if self.line is None else f":{self.line}") + ": "
        return place + self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; pickle by itself would give the constructor the text alone.
        return (_rebuild, (type(self), self.message, self.cure, self.file, self.line))


def _rebuild(kind: type[TwofoldError], message: str, cure: str, file: str | None, line: int | None) -> TwofoldError:
    return kind(message, cure=cure, file=file, line=line)


class ConfigError(TwofoldError):
    """`twofold.toml` (or an option given in code) is not valid."""

    code = "config"
    cure = "Correct the key or its value in twofold.toml; `twofold config` prints every value with its origin."
    exit_code = 2


class BadFilter(ConfigError):
    """A condition on metadata cannot be read, or names a field or compares a kind of value that no document has."""

    code = "config.filter"
    cure = "Write a field, a relation and a value, for example --where 'price < 30'."


class UnknownName(ConfigError):
    """The name of a plugin, model, arm or metric is unknown."""

    code = "config.unknown-name"
    cure = "Run `twofold plugins` or `twofold models list` to list the known names."


class DataError(TwofoldError):
    """The user's documents or examples are not usable as they are."""

    code = "data"
    cure = "Run `twofold check`: it lists everything that is wrong, with file and line."
    exit_code = 2


class BadRecord(DataError):
    """One record of a file is malformed."""

    code = "data.bad-record"
    cure = "Correct or remove that line; `twofold check` lists all such lines at once."


class UnknownDocument(DataError):
    """Examples name documents that do not exist."""

    code = "data.unknown-document"
    cure = "Correct doc_ids (`twofold index documents` lists the ids), or add the documents."


class UnreadableFile(DataError):
    """A file is missing, too large, in another encoding, or of a kind no reader knows."""

    code = "data.unreadable"
    cure = "Look at the file and its rights, save it as UTF-8, or take it out."


class LeftOut(DataError):
    """A file in a folder or matching a pattern is skipped because of its name or its link's target."""

    code = "data.left-out"
    cure = "Name the file itself in `paths` if it should be read."


class DamagedFile(DataError):
    """A file is corrupt, truncated, or not of the kind that its ending names."""

    code = "data.damaged"
    cure = "Open the file in its own program and save it again, or take it out of [documents].paths."


class EncryptedFile(DataError):
    """A file needs a password, and none or a wrong one was given."""

    code = "data.encrypted"
    cure = """Name its password in twofold.toml: [documents.passwords] "PATTERN" = "env:VARIABLE"."""


class ScannedFile(DataError):
    """A file contains only pictures of text."""

    code = "data.scanned"
    cure = f"Set [documents].ocr = true ({install('ocr')}), or give the file a text layer."


class FileTooLarge(DataError):
    """A file has more bytes or text than allowed, or needs more memory than allowed."""

    code = "data.too-large"
    cure = "Split the file, remove what is not text, or raise [documents].max_mib in twofold.toml."


class FileTimeout(DataError):
    """Reading a file took longer than allowed."""

    code = "data.timeout"
    cure = "Split the file, or raise [documents].max_seconds in twofold.toml."


class ReaderCrashed(DataError):
    """The process that read a file died; all other files are read."""

    code = "data.crashed"
    cure = "Take the file out of [documents].paths, or convert the file."


class TooFewExamples(DataError):
    """A split or the corpus is empty or too small."""

    code = "data.too-few"
    cure = "Add examples or documents, or change train, dev and test in the [examples] section of twofold.toml."


class LeakFound(DataError):
    """The training data contain a test question or its near copy."""

    code = "data.leak"
    cure = 'Group such examples (field "group"), or set [examples].on_leak = "drop".'


class SourceError(TwofoldError):
    """A source of documents refuses the request, or its answer is not usable."""

    code = "source"
    cure = "Correct the source's section in twofold.toml; the other sources were synced."


class SourceUnreachable(SourceError):
    """A source or one of its items cannot be reached now; its documents stay in the index."""

    code = "source.unreachable"
    cure = "Check address, network and credentials, and run `twofold sync` again; nothing was deleted."


class SourceEndless(SourceError):
    """A source exceeds its limit of bytes, rows, pages or seconds."""

    code = "source.endless"
    cure = "Raise the limit in the source's section or [documents].max_mib, or exclude the item."


class SourceQuery(SourceError):
    """A SQL statement fails, or does more than read."""

    code = "source.query"
    cure = "Correct `query` in the source's section: one SELECT statement."


class AccessDenied(TwofoldError):
    """Access control is enabled, and the request names no user or group, or these may not read the documents."""

    code = "access"
    cure = (
        "Name the user: --user NAME --group GROUP of the command, or of `twofold keys add` for requests to a server; "
        "for studies and tuning set [access].study_groups."
    )
    exit_code = 2


class MissingExtra(TwofoldError):
    """An optional dependency is not installed."""

    code = "install.missing-extra"
    cure = install("local,train")
    exit_code = 2


class ModelError(TwofoldError):
    """A model's weights cannot be found, read or used."""

    code = "model"
    cure = "Run `twofold models list` and `twofold models pull NAME`."


class ModelNotPulled(ModelError):
    """The weights are not in the local cache."""

    code = "model.not-pulled"


class DigestMismatch(ModelError):
    """The digest of a download differs from the pinned digest."""

    code = "model.digest"
    cure = "Delete the cached file and pull again; if the error repeats, the source has changed: do not use it."


class TermsNotAccepted(ModelError):
    """A model may be used under terms that nobody on this machine has accepted."""

    code = "model.terms"
    cure = "Read them with `twofold models terms NAME`; pull the model with --accept-terms if you accept them."


class IndexMismatch(TwofoldError):
    """The index was made by another embedder, or the requested version no longer exists."""

    code = "index.mismatch"
    cure = "Run `twofold sync --rebuild` to embed the documents again with the configured embedder."


class IndexEmpty(TwofoldError):
    """An arm that reads documents is asked before any document was indexed."""

    code = "index.empty"
    cure = "Run `twofold sync`, or ask an arm that reads no documents, such as --arm base."


class GenerationError(TwofoldError):
    """A generator failed as a whole (one failed answer is a `Failure` record instead)."""

    code = "generation"
    cure = "Check the [generation] section: endpoint, key, model name, timeout."


class EndpointUnreachable(GenerationError):
    """The endpoint that generates does not answer, or not in time."""

    code = "generation.unreachable"
    cure = "Check that the endpoint runs and that base_url (and timeout) in [generation.generator.options] are right."


class TrainingError(TwofoldError):
    """A training run cannot start or has failed."""

    code = "training"
    cure = "Read the training log named in the message; run again to resume from the last checkpoint."


class NothingToLearn(TrainingError):
    """A training row has no completion token left after masking and truncation."""

    code = "training.masked"
    cure = "Shorten the prompt (fewer or shorter passages) or raise [tuning.trainer.options].max_length."


class TemplateMismatch(TrainingError):
    """An adapter was trained with a different prompt template from the configured one."""

    code = "training.template"
    cure = "Train again (`twofold tune`), or restore the [prompt] section the adapter was trained with."


class WrongWeights(TrainingError):
    """An adapter was trained on base weights other than the configured ones."""

    code = "training.weights"
    cure = "Set [generation.generator.options].model to the adapter's base, or train again (`twofold tune`)."


class ClusterError(TwofoldError):
    """The cluster that `[scale]` names cannot do the work."""

    code = "scale"
    cure = "See the cluster's dashboard and logs, then run the same command again: finished batches are kept."


class ClusterUnreachable(ClusterError):
    """No Ray cluster answers at the address, or none could be started."""

    code = "scale.unreachable"
    cure = "Check `ray status` at [scale].address; --on local does the same work here."


class WorkerUnlike(ClusterError):
    """A worker has another version of Twofold, of Python or of the project than the command, or lacks an extra."""

    code = "scale.worker"
    cure = "Give every node the same environment and the same project folder as the machine that runs the command."


class StoreError(TwofoldError):
    """The project's derived data cannot be read or written."""

    code = "store"
    cure = "Check free disk space and permissions; `twofold sync --rebuild` recreates all data derived from documents."


class DiskFull(StoreError):
    """The disk is full; commands that only read, and `twofold gc`, still work."""

    code = "store.full"
    cure = (
        "Check free disk space, and run the command again: finished work is kept. Free disk space with "
        "`twofold gc`, which removes unused artifacts and works on a full disk."
    )


_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
# SQLite tells a full disk in several ways.
_FULL_SQLITE = frozenset(["SQLITE_FULL", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE"])
# Libraries in other languages tell it in words only.
_FULL_TOLD = ("no space left on device", "disk quota exceeded", "file too large (os error", "database or disk is full")


def refused(message: str, error: Exception, *, file: object = None) -> StoreError:
    """A write that the system or a library refused, as a `StoreError`, or as a `DiskFull` where that is the reason.

    Args:
        message: What was not done.
        error: What was raised: an `OSError`, or of a library that hides it in its words.
        file: Where.
    """
    full = (
        getattr(error, "errno", None) in _FULL
        or getattr(error, "sqlite_errorname", "") in _FULL_SQLITE
        or any(words in str(error).lower() for words in _FULL_TOLD)
    )
    return (DiskFull if full else StoreError)(message, file=file)


class AuditUnwritable(StoreError):
    """The audit log cannot be written, and the project's settings say that nothing is done without it."""

    code = "store.audit"
    cure = (
        "Free disk space, or mend the permissions of the folder audit, and do it again; or set [audit].on_failure = "
        '"serve" to go on without the log.'
    )


class IndexDamaged(StoreError):
    """Files of the index are damaged or missing, or disappeared while they were read."""

    code = "store.index"
    cure = "Run `twofold sync --rebuild`, which builds the index again from the sources."


class ProjectLocked(StoreError):
    """Another process is writing to this project."""

    code = "store.locked"
    cure = "Wait for the other command to finish, or stop it; reading commands work meanwhile."


class ProjectMissing(StoreError):
    """The directory contains no project."""

    code = "store.no-project"
    cure = "Run `twofold init PROJECT --from FOLDER`, or change into a directory with a twofold.toml."
    exit_code = 2


class DatabaseUnreachable(StoreError):
    """The database, or the object store, does not answer at its address, or not in time."""

    code = "store.unreachable"
    cure = "Check that the database runs and that url (and timeout) in [retrieval.index] are right."


class DatabaseRefused(StoreError):
    """The database, or the object store, does not accept the password or key, or the account lacks a right."""

    code = "store.refused"
    cure = "Check the environment variable named in api_key_env, and the account's rights."


class StudyError(TwofoldError):
    """A study cannot be planned, run or shown."""

    code = "study"
    cure = "Run `twofold study --plan` to see what the study would do."


class ScorerBroken(StudyError):
    """The scorer's self-test failed, so its scores would mean nothing."""

    code = "study.scorer"
    cure = "Check that references fit the metric; `twofold check` shows examples whose own reference scores below 1."


class AlertUndelivered(TwofoldError):
    """The receiver of an alert does not take it, or not in time; it is tried again at later looks."""

    code = "watch.alert"
    cure = "Check that the receiver runs, and its address and secret in [watch.webhook] or [watch.email]."


class ServingError(TwofoldError):
    """The server refuses a request, or cannot start."""

    code = "serving"
    cure = "Read docs/how-to/serve.md; `twofold serve --help` lists the options."


class QueueFull(ServingError):
    """More requests wait than may."""

    code = "serving.busy"
    cure = "Send the request again after the seconds in the header Retry-After, or raise [serving].queue."
    retry_after: float = 1.0
    """Seconds after which a place in the queue is likely."""


class OverLimit(ServingError):
    """A key's requests or tokens are used up, or too many logins of an address failed."""

    code = "serving.limit"
    cure = (
        "Send the request again after the seconds in the header Retry-After; `twofold keys list` shows what was used."
    )
    retry_after: float = 1.0
    """Seconds until there are more."""
    headers: Mapping[str, str] = MappingProxyType({})
    """What is left of each limit, for the reply."""


class Closing(ServingError):
    """The server is stopping: it ends the answers that it has begun and begins no more."""

    code = "serving.closing"
    cure = "Send the request again when the server has been started again."


class PartDown(ServingError):
    """The index or the engine, without which there is no answer, is down."""

    code = "serving.down"
    cure = "Send the request again after the seconds in the header Retry-After; /readyz says when it can be answered."
    retry_after: float = 1.0
    """Seconds after which it is tried again."""


class DeadlinePassed(ServingError):
    """The answer was not there within the request's time."""

    code = "serving.deadline"
    cure = "Send the request again when fewer requests run, ask for fewer max_tokens, or raise [serving].seconds."


class BadRequest(ServingError):
    """A parameter of a request is unknown, unsupported or has a wrong value."""

    code = "serving.request"
    cure = "Correct or leave out the parameter; /openapi.json lists those of every address."
    exit_code = 2
    param: str = ""
    """Name of the parameter."""


class TooLong(ServingError):
    """A conversation with its passages and the answer's tokens exceeds the model's context."""

    code = "serving.too-long"
    cure = "Send fewer or shorter messages, or ask for fewer max_tokens."


class NotServed(ServingError):
    """There is no such address, model or document, or none that this key may see."""

    code = "serving.missing"
    cure = "Use an address of /openapi.json, a model of /v1/models, a document of /v1/documents."


class Conflict(ServingError):
    """A document is there already, or is not the version that the request names."""

    code = "serving.conflict"
    cure = "Read the document's present version with GET, and send the request with it."


class IssuerDown(ServingError):
    """The identity provider cannot be reached, or answers in no usable way; API keys still work."""

    code = "serving.issuer"
    cure = "Try again soon; check [serving.oidc].issuer, and that the provider can be reached from the server."


class BadKey(ServingError):
    """There is no API key, or an unknown, expired or revoked key, or a token that is not valid here."""

    code = "serving.key"
    cure = "Send a valid key as `Authorization: Bearer KEY`; `twofold keys add` makes a key."
    exit_code = 2


class Forbidden(ServingError):
    """The API key lacks the scope that the address needs."""

    code = "serving.scope"
    cure = "Use a key with that scope; `twofold keys add --scope` makes such a key."
