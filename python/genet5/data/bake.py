"""Bakes species into packed training data: finds them, hands each to the Rust core, and joins what comes back.

Species are independent pieces of work behind :class:`concurrent.futures.Executor`: in this process, in local processes,
or on a Dask cluster. Each leaves two part files; the parts are joined in the order of the species' names, so that
nothing but the input, the flags and the seed decides the bytes. This module imports neither torch nor transformers.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import genet5
from genet5 import _core
from genet5.data.bake_options import BakeOptions
from genet5.data.species import Species, discover, with_sequences
from genet5.data.taxa import Limits, read_limits
from genet5.errors import InputError, UnavailableError
from genet5.files import write_whole

# A small genome is baked in less time than these take to import: only the runs that need them do.
if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

TRAINING, VALIDATION, REPORT, NEW_TOKENS = "training.packed", "validation.packed", "bake.json", "new_tokens.txt"
PARTS = ".parts"  # in the output folder, until all species are baked


# Of what reading could not use, the reasons that a person should look at before training.
LOOK_AT = ("malformed line", "gene outside its sequence", "gene on a sequence that the genome lacks")
# What changes how the work is done, but nothing in the files.
HOW = ("n_workers", "species_parallel", "scheduler", "resume", "dry_run", "extend_tokenizer", "limits")


def bake(
    raw_dir: str | Path,
    output_dir: str | Path,
    tokenizer: str | Path,
    options: BakeOptions | None = None,
    log: TextIO | None = None,
) -> dict[str, Any]:
    """Bake all species below `raw_dir` and return the report that ``OUTPUT/bake.json`` holds.

    Bad input raises :class:`InputError`, :class:`FormatError` or :class:`OSError` before anything is written to the
    final names; with ``options.dry_run`` nothing is written at all.
    """
    options = options or BakeOptions()
    output = Path(output_dir)
    say = _Log(log or sys.stderr)
    tokenizer_file = _tokenizer_file(Path(tokenizer))
    limits = read_limits(options.limits)
    found = discover(raw_dir, limits.taxa, names=options.species, only_taxa=options.taxa, exclude=options.exclude)
    for name in limits.species:
        if name not in {one.name for one in found} and not (options.species or options.taxa or options.exclude):
            raise InputError(f"{options.limits}: [species.{name}] names no species of {raw_dir}")
    species = with_sequences(found, validation=options.validation_seqids, test=options.test_seqids, codes=options.codes)
    for one in species:
        for warning in one.warnings:
            say(f"warning: {warning}")
    if options.hints:
        without = [one.name for one in species if one.hints is None]
        if len(without) == len(species):
            raise InputError(f"--hints: no species of {raw_dir} has a hints file (GFF; hints.* in its folder)")
        for name in without:
            say(f"warning: {name}: no hints file; its track is empty")
    configs = [_config(one, options, limits, tokenizer_file) for one in species]
    for config in configs:
        _core.bake_check(json.dumps(config))
    if options.dry_run:
        with _executor(options, len(species), say) as executor:
            _scan_all(executor, species, configs, tokenizer_file, output, options, say)
            return _dry_run(executor, species, configs, say)
    with _claimed(output):
        with _executor(options, len(species), say) as executor:
            kept = _scan_all(executor, species, configs, tokenizer_file, output, options, say)
            try:
                reports = _bake_all(executor, species, configs, tokenizer_file, output, options, say, kept)
            except KeyboardInterrupt:
                say(f"the species that are done are kept in {output / PARTS}: --resume goes on from there")
                raise
        return _join(species, reports, tokenizer_file, output, options, say)


def _scan_all(
    executor: Executor | None,
    species: Sequence[Species],
    configs: Sequence[dict[str, Any]],
    tokenizer: Path,
    output: Path,
    options: BakeOptions,
    say: _Log,
) -> _core.BakeScan | None:
    """Hold sequences and tokens against all annotation; what was read for it, where that can be used again."""
    kept = None
    if executor is None and len(configs) == 1 and not options.dry_run:
        # One species stays in memory between the two; of many, what was read would pile up.
        kept = _core.BakeScan(json.dumps(configs[0]))
        scans = [json.loads(kept.needs)]
    else:
        scans = _map(executor, _scan, [json.dumps(config) for config in configs])
    _check_seqids(species, scans, options)
    return None if _check_tokens(scans, tokenizer, output, options, say) else kept


class _Log:
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, text: str) -> None:
        self.clear()
        print(text, file=self.stream, flush=True)

    def progress(self, text: str) -> None:
        if self.stream.isatty():
            print(f"\r\x1b[K{text}", end="", file=self.stream, flush=True)

    def clear(self) -> None:
        if self.stream.isatty():
            print("\r\x1b[K", end="", file=self.stream)


# --- work that runs in other processes, or on other machines ---


def _scan(config: str) -> dict[str, Any]:
    return json.loads(_core.bake_scan(config))


def _plan(config: str) -> dict[str, Any]:
    return json.loads(_core.bake_plan(config))


def _bake_species(
    config: str, progress: Callable[[int, int], None] | None = None, scan: _core.BakeScan | None = None
) -> dict[str, Any]:
    start = time.perf_counter()
    report = json.loads(_core.bake_species(config, progress, scan))
    return {"report": report, "seconds": time.perf_counter() - start}


def _map(executor: Executor | None, work: Callable[[str], Any], configs: Iterable[str]) -> list[Any]:
    return list(map(work, configs) if executor is None else executor.map(work, configs))


@contextlib.contextmanager
def _executor(options: BakeOptions, pieces: int, say: _Log) -> Iterator[Executor | None]:
    """Where species are baked; None is this process."""
    if options.scheduler:
        with _dask(options.scheduler, say) as executor:
            yield executor
    elif options.species_parallel == 1 or pieces == 1:
        yield None
    else:
        import multiprocessing
        from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

        # Fresh processes: a fork would copy whatever the caller has open.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(min(options.species_parallel, pieces), mp_context=context)
        try:
            yield executor
        except BrokenExecutor as error:
            raise UnavailableError(
                "a process that baked a species was killed, as the system does where memory runs out: start again with "
                "--resume, which keeps the species that are done, and a smaller --species_parallel"
            ) from error
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _dask(address: str, say: _Log) -> Iterator[Executor]:
    try:
        from distributed import CancelledError, Client, KilledWorker
    except ImportError as error:
        raise UnavailableError("--scheduler needs Dask: pip install 'genet5[dask]'") from error
    try:
        client = Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            say(f"the Dask scheduler at {address} has no workers yet: waiting for the first")
        try:
            yield client.get_executor(pure=False)
        except (CancelledError, KilledWorker) as error:
            raise UnavailableError(
                f"the Dask cluster at {address} was lost, or its workers died over and over: start again with "
                "--resume, which keeps the species that are done"
            ) from error


# --- before the first window is cut ---


def _tokenizer_file(path: Path) -> Path:
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file}: there is no tokenizer; --tokenizer names a tokenizer.json or the folder of a model")
    return file.resolve()


@contextlib.contextmanager
def _claimed(output: Path) -> Iterator[None]:
    """The folder of the output, made where it is missing; no two runs bake into one at the same time."""
    import fcntl

    output.mkdir(parents=True, exist_ok=True)
    # Whether we may write there is better known now than after hours.
    probe = output / f".probe-{os.getpid()}"
    try:
        probe.touch()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error
    probe.unlink()
    folder = os.open(output, os.O_RDONLY)
    try:
        # The system lets go of it when this process ends, however it ends. Some network file systems lock no folders.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{output}: another bake writes there at this moment; wait for it, or name another --output_dir"
                ) from None
        yield
    finally:
        os.close(folder)


def _config(species: Species, options: BakeOptions, limits: Limits, tokenizer: Path) -> dict[str, Any]:
    taxon = limits.of(species.name, species.taxon)
    override = limits.species.get(species.name, {})
    return {
        "species": species.name,
        "taxon": species.taxon,
        "genome": [str(path.resolve()) for path in species.genome],
        "annotation": [str(path.resolve()) for path in species.annotation],
        "hints": str(species.hints.resolve()) if options.hints and species.hints else None,
        "tokenizer": str(tokenizer),
        "genetic_code": species.genetic_code or override.get("genetic_code"),
        "default_code": species.known_genetic_code or taxon.genetic_code,
        "mitochondrial_code": override.get("mitochondrial_code")
        or species.mitochondrial_code
        or taxon.mitochondrial_code,
        "plastid_code": taxon.plastid_code,
        "codes": dict(species.codes),
        "utr": species.utr,
        "noncoding": species.noncoding,
        "isoforms": options.isoforms,
        "lenient": options.lenient,
        "validation_seqids": list(species.validation_seqids),
        "test_seqids": list(species.test_seqids),
        "exclude_seqids": list(species.exclude_seqids),
        "organelles": options.organelles,
        "window_size": options.window_size or taxon.window_size,
        "margin": options.margin,
        "overlap": options.overlap,
        "seed": options.seed,
        "max_n_ratio": options.max_n_ratio,
        "intergenic_fraction": options.intergenic_fraction,
        "validation_fraction": options.validation_fraction,
        "gene_limit": options.gene_limit or taxon.gene_limit,
        "reverse_complement": options.reverse_complement,
        "tracks": options.hints or options.soft_masking,
        "hint_ratio": options.hint_ratio,
        "soft_masking": options.soft_masking,
        "target": options.target,
        "hard_limit": options.hard_limit,
        "max_target_len": options.max_target_len,
        "n_workers": options.n_workers,
        "training": None,
        "validation": None,
        "flags": _flags(options),
    }


def _flags(options: BakeOptions) -> dict[str, Any]:
    """The flags that decide what is in the files."""
    flags = {key: value for key, value in options._asdict().items() if key not in HOW}
    flags["codes"] = dict(options.codes)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flags.items()}


def _check_seqids(species: Sequence[Species], scans: Sequence[Mapping[str, Any]], options: BakeOptions) -> None:
    """Every sequence named by a flag is in a species, and every one named by species.toml in its own."""
    ids = [set(scan["seqids"]) for scan in scans]
    everywhere = set().union(*ids)
    for flag in ("test_seqids", "validation_seqids", "codes"):
        for seqid in getattr(options, flag):
            if seqid not in everywhere:
                name = "code_for" if flag == "codes" else flag
                raise InputError(f"--{name}: no species has a sequence '{seqid}'; {_some(everywhere)}")
    for one, own in zip(species, ids, strict=True):
        for key in ("test_seqids", "validation_seqids", "exclude_seqids", "codes"):
            shared = getattr(options, key, ())
            for seqid in getattr(one, key):
                if seqid not in own and seqid not in shared:
                    raise InputError(f"{one.folder / 'species.toml'}: {key} names '{seqid}'; {_some(own)}")


def _some(ids: set[str]) -> str:
    shown = sorted(ids)[:8]
    return f"there are {', '.join(shown)}" + (f" and {len(ids) - len(shown)} more" if len(ids) > len(shown) else "")


def _check_tokens(
    scans: Sequence[Mapping[str, Any]], tokenizer: Path, output: Path, options: BakeOptions, say: _Log
) -> bool:
    """Stop, or grow the tokenizer, where it lacks tokens that sentences need. Whether it has grown."""
    # The core gives built-in tokens first, in the order of their list; new biotypes follow in alphabetical order.
    builtin = list(dict.fromkeys(token for scan in scans for token in scan["missing_builtin"]))
    biotypes = sorted({token for scan in scans for token in scan["missing_biotypes"]})
    missing = builtin + biotypes
    if not missing:
        return False
    folder = tokenizer.parent
    has_weights = (folder / "config.json").is_file() and any(
        next(folder.glob(pattern), None) for pattern in ("*.safetensors", "pytorch_model*.bin")
    )
    if options.extend_tokenizer and not options.dry_run:
        _core.append_tokens(tokenizer, missing)
        say(f"appended {len(missing)} tokens to {tokenizer}")
        if has_weights:
            import subprocess

            command = [sys.executable, "-m", "genet5.cli.main", "resize", str(folder), str(folder)]
            done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
            if done.returncode != 0:
                raise InputError(
                    f"the tokenizer {tokenizer} has grown, but resizing the model beside it failed; "
                    f"run bin/resize_model.py {folder} {folder}"
                )
        return True
    from genet5.tokenize import shortened

    shown = ", ".join(map(shortened, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    if options.dry_run:
        say(f"warning: {tokenizer} lacks {len(missing)} tokens that sentences need: {shown}")
        return False
    file = output / NEW_TOKENS
    write_whole(file, "".join(f"{token}\n" for token in missing))
    resize = f"\n    python bin/resize_model.py {folder} {folder}"
    raise InputError(
        f"{tokenizer} lacks {len(missing)} tokens that sentences need ({shown}); they are in {file}. Append them and "
        f"grow the model, then bake again (or bake with --extend_tokenizer):\n"
        f"    python bin/append_tk.py {file} {tokenizer}{resize}"
    )


# --- baking ---


def _fingerprint(config: Mapping[str, Any], tokenizer_hash: str) -> str:
    """What a part depends on: flags, the tokenizer, and the input files as they are now."""
    files = []
    for path in dict.fromkeys((*config["genome"], *config["annotation"], config["hints"])):
        if path is not None:
            status = Path(path).stat()
            files.append((path, status.st_size, status.st_mtime_ns))
    what = {key: value for key, value in config.items() if key not in ("n_workers", "training", "validation")}
    text = json.dumps([genet5.__version__, what, files, tokenizer_hash], sort_keys=True)
    return _core.sha256(text.encode())


def _bake_all(
    executor: Executor | None,
    species: Sequence[Species],
    configs: Sequence[dict[str, Any]],
    tokenizer: Path,
    output: Path,
    options: BakeOptions,
    say: _Log,
    scan: _core.BakeScan | None,
) -> list[dict[str, Any]]:
    """Bake each species into its parts, and return the reports in the order of the species."""
    parts = (output / PARTS).resolve()
    if not options.resume:
        _remove_parts(parts)
    parts.mkdir(exist_ok=True)
    tokenizer_hash = _core.sha256(tokenizer.read_bytes())
    sizes = [sum(path.stat().st_size for path in one.files) for one in species]
    reports: list[dict[str, Any] | None] = [None] * len(species)
    waiting: dict[Future[dict[str, Any]], int] = {}
    start = time.perf_counter()
    done_size = 0
    fingerprints = [_fingerprint(config, tokenizer_hash) for config in configs]
    to_bake = []
    for i, one in enumerate(species):
        report_file = parts / f"{one.name}.json"
        configs[i]["training"] = str(parts / f"{one.name}.{TRAINING}")
        configs[i]["validation"] = str(parts / f"{one.name}.{VALIDATION}")
        kept = _finished(report_file, configs[i], fingerprints[i])
        if kept is None:
            to_bake.append(i)
        else:
            reports[i] = kept
            say(f"{one.name}: kept from the earlier run")
    all_size = sum(sizes[i] for i in to_bake)

    def finish(i: int, result: Mapping[str, Any]) -> None:
        nonlocal done_size
        report = result["report"]
        reports[i] = report
        kept_report = json.dumps({"fingerprint": fingerprints[i], "report": report})
        write_whole(parts / f"{species[i].name}.json", kept_report, sync=False)
        done_size += sizes[i]
        done = sum(reports[j] is not None for j in to_bake)
        left = (time.perf_counter() - start) * (all_size - done_size) / max(done_size, 1)
        say(_line(species[i], report, result["seconds"], options.n_workers))
        if done < len(to_bake):
            say(f"  {done} of {len(to_bake)} species, about {_time(left)} left")

    for i in to_bake:
        if executor is None:
            name, began = species[i].name, time.perf_counter()

            def progress(bases: int, total: int, name: str = name, began: float = began) -> None:
                if bases == 0:
                    say.progress(f"{name}: reading")
                    return
                left = (time.perf_counter() - began) * (total - bases) / max(bases, 1)
                say.progress(f"{name}: {bases / total:.0%} of its windows, {_time(left)} left")

            finish(i, _bake_species(json.dumps(configs[i]), progress, scan))
        else:
            waiting[executor.submit(_bake_species, json.dumps(configs[i]))] = i
    if not waiting:
        return [report for report in reports if report is not None]
    from concurrent.futures import as_completed

    try:
        for future in as_completed(waiting):
            finish(waiting[future], future.result())
    except BaseException:
        for future in waiting:
            future.cancel()
        raise
    return [report for report in reports if report is not None]


def _remove_parts(parts: Path) -> None:
    """Remove the folder of parts, as far as the system lets us."""
    with contextlib.suppress(OSError):
        for path in parts.iterdir():
            path.unlink()
        parts.rmdir()


def _finished(report_file: Path, config: Mapping[str, Any], fingerprint: str) -> dict[str, Any] | None:
    """The report of a species that an earlier run has baked from the same input with the same flags."""
    try:
        kept = json.loads(report_file.read_text())
    except (OSError, ValueError):
        return None
    whole = all(Path(config[key]).is_file() for key in ("training", "validation"))
    return kept["report"] if whole and kept.get("fingerprint") == fingerprint else None


def _line(species: Species, report: Mapping[str, Any], seconds: float, workers: int) -> str:
    bases = report["bases"]
    rate = bases / 1e6 / max(seconds, 1e-9)
    training, validation = report["training"], report["validation"]
    lines = [
        f"{species.name} ({species.taxon}): {bases / 1e6:.1f} Mb, {report['genes']} genes, "
        f"{training['segments']} training and {validation['segments']} validation windows; {seconds:.1f} s, "
        f"{rate:.1f} Mb/s, {rate / workers:.1f} Mb/s a core"
    ]
    return "\n".join([*lines, *_remarks(report)])


def _remarks(report: Mapping[str, Any]) -> list[str]:
    """What was left out, and what a person should look at."""
    lines = []
    left_out = report["genes_left_out"]
    if left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items(), key=lambda row: -row[1]))
        lines.append(f"  genes left out: {reasons}")
    for reason in LOOK_AT:
        if reason in report["reading"]:
            found = report["reading"][reason]
            lines.append(f"  warning: {reason}: {found['count']}, such as {found['examples'][0]}")
    # A plan has made no sentences.
    beyond = sum(report[half].get("genes_beyond_label_budget", 0) for half in ("training", "validation"))
    if beyond:
        lines.append(
            f"  warning: {beyond} genes, counted once a window, do not fit into its sentence and take no loss there; "
            "raise --max_target_len"
        )
    return lines + [f"  warning: {warning}" for warning in report["warnings"]]


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# --- afterwards ---


def _join(
    species: Sequence[Species],
    reports: Sequence[dict[str, Any]],
    tokenizer: Path,
    output: Path,
    options: BakeOptions,
    say: _Log,
) -> dict[str, Any]:
    parts = (output / PARTS).resolve()
    if not any(report["genes"] for report in reports):
        raise InputError("no species has a gene: there is nothing to learn; check the annotation")
    if not any(report["training"]["segments"] for report in reports):
        raise InputError(
            "no training window is left in any species: the lines above say what was left out; less may be held out "
            "(--validation_fraction, --validation_seqids, --test_seqids), or more N allowed (--max_n_ratio)"
        )
    # Both files are whole before either gets its name.
    if len(species) == 1:
        unfinished = {name: parts / f"{species[0].name}.{name}" for name in (TRAINING, VALIDATION)}
    else:
        unfinished = {name: parts / name for name in (TRAINING, VALIDATION)}
        for name, path in unfinished.items():
            _core.merge_packed([parts / f"{one.name}.{name}" for one in species], path)
    report = _report(species, reports, tokenizer, options, unfinished)
    for name, path in unfinished.items():
        path.replace(output / name)
    write_whole(output / REPORT, json.dumps(report, indent=1, sort_keys=True) + "\n")
    _remove_parts(parts)
    (output / NEW_TOKENS).unlink(missing_ok=True)
    for name in unfinished:
        size = (output / name).stat().st_size
        half = report["totals"][name.removesuffix(".packed")]
        say(
            f"{output / name}: {half['packs']} packs of {half['segments']} windows, {half['tokens']:,} DNA tokens and "
            f"{half['label_tokens']:,} label tokens, {size / 1e6:.1f} MB"
        )
    say(f"{output / REPORT}: what was kept and left out, and why")
    return report


def _report(
    species: Sequence[Species],
    reports: Sequence[dict[str, Any]],
    tokenizer: Path,
    options: BakeOptions,
    files: Mapping[str, Path],
) -> dict[str, Any]:
    totals = {
        half: {
            key: sum(report[half][key] for report in reports)
            for key in reports[0][half]
            if isinstance(reports[0][half][key], int)
        }
        for half in ("training", "validation")
    }
    return {
        "genet5": genet5.__version__,
        "flags": _flags(options),
        "tokenizer": {"sha256": _core.sha256(tokenizer.read_bytes())},
        "species": {one.name: report for one, report in zip(species, reports, strict=True)},
        "test_seqids": {
            one.name: report["test_seqids"]
            for one, report in zip(species, reports, strict=True)
            if report["test_seqids"]
        },
        "totals": totals,
        "files": {name: {"bytes": path.stat().st_size} for name, path in files.items()},
    }


def _dry_run(
    executor: Executor | None, species: Sequence[Species], configs: Sequence[dict[str, Any]], say: _Log
) -> dict[str, Any]:
    reports = _map(executor, _plan, [json.dumps(config) for config in configs])
    for one, report in zip(species, reports, strict=True):
        windows = {half: report[half]["windows"] for half in ("training", "validation")}
        say(
            f"{one.name} ({one.taxon}): {report['bases'] / 1e6:.1f} Mb, {report['genes']} genes, "
            f"{windows['training']} training and {windows['validation']} validation windows of "
            f"{report['window_size']} bp, about {report['estimated_bytes'] / 1e6:.1f} MB"
        )
        for remark in _remarks(report):
            say(remark)
    total = sum(report["estimated_bytes"] for report in reports)
    say(f"{len(species)} species, about {total / 1e6:.1f} MB; nothing was written")
    return {"species": {one.name: report for one, report in zip(species, reports, strict=True)}}
