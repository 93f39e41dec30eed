"""libdionode through ctypes: where it is, the types and functions of its headers that this package calls, its errors."""
import ctypes as c
import enum
import functools
import os
import pathlib
import subprocess
import sys

N_AXES = 4


class Axis(enum.IntEnum):
    """dn_axis"""
    DP, FS, TP, PP = range(N_AXES)


class Type(enum.IntEnum):
    """dn_type"""
    F32, F64, BF16, I32, I64 = range(5)


class Op(enum.IntEnum):
    """dn_op"""
    SUM, AVG, MIN, MAX = range(4)


class Traffic(enum.IntEnum):
    """dn_traffic: what bytes are counted as."""
    FACTORS, BASIS, ORTH, GRADIENT, WEIGHTS, ACTIVATIONS, MOMENTUM, DELTA, PROBE, CONTROL = range(10)


class Collective(enum.IntEnum):
    """dn_collective"""
    ALL_REDUCE, REDUCE, REDUCE_SCATTER, ALL_GATHER, ALL_TO_ALL, BROADCAST = range(6)


TYPE_BYTES = {Type.F32: 4, Type.F64: 8, Type.BF16: 2, Type.I32: 4, Type.I64: 8}


def struct(name, /, **fields):
    return type(name, (c.Structure,), {"_fields_": list(fields.items())})


RuleInfo = struct("RuleInfo", name=c.c_char_p, help=c.c_char_p, matrices_only=c.c_bool, lr=c.c_double)
GroupOptions = struct("GroupOptions", lr_scale=c.c_double, weight_decay=c.c_double)
# The options of rules come behind, and are set by name.
OptimConfig = struct("OptimConfig", matrix_rule=c.c_char_p, scalar_rule=c.c_char_p, groups=GroupOptions * 4)
Key = struct("Key", name=c.c_char_p, field=c.c_char_p, type=c.c_int, offset=c.c_size_t, initial=c.c_char_p,
             min=c.c_double, max=c.c_double, choices=c.c_char_p, help=c.c_char_p, role=c.c_int, room=c.c_size_t)
DimSharding = struct("DimSharding", axis=c.c_int, unit=c.c_size_t)
Range = struct("Range", first=c.c_size_t, end=c.c_size_t)
Block = struct("Block", row0=c.c_size_t, rows=c.c_size_t, col0=c.c_size_t, cols=c.c_size_t)
Tensor = struct("Tensor", name=c.c_char * 128, rows=c.c_size_t, cols=c.c_size_t, type=c.c_int, row_sharding=DimSharding,
                col_sharding=DimSharding, per_replica=c.c_bool)
Shard = struct("Shard", block=Block, data=c.c_void_p, rank=c.c_int, replica=c.c_int)
OptimTensor = struct("OptimTensor", tensor=Tensor, kind=c.c_int, n_views=c.c_size_t, split_rows=c.c_size_t * 8,
                     weight=c.c_void_p, grad=c.c_void_p, stride=c.c_size_t, in_place=c.c_bool, place=c.c_size_t)
OptimReport = struct("OptimReport", skipped=c.c_bool, grad_norm=c.c_double, clip=c.c_double, n_zero=c.c_int,
                     n_fallback=c.c_int)
Mesh = struct("Mesh", size=c.c_int * N_AXES, at=c.c_int * N_AXES, all=c.c_void_p, comms=c.c_void_p * 2**N_AXES, root=c.c_void_p,
              stages=c.c_void_p)
VerifyOptions = struct("VerifyOptions", max_ranks=c.c_int, max_replicas=c.c_int, max_shards=c.c_int, max_stages=c.c_int, mesh=c.c_int * N_AXES, tolerance=c.c_double,
                       heap_bytes=c.c_size_t, reference_bytes=c.c_size_t, rounding=c.c_bool, by_replicas=c.c_bool, progress=c.c_void_p)
VerifyTensor = struct("VerifyTensor", line=c.c_char_p, tensor=Tensor, replicated=c.c_uint, column_weights=c.POINTER(c.c_double))
VerifyFn = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Mesh), c.c_void_p)  # dn_verify_fn
CommStats = struct("CommStats", **{name: c.c_uint64 * len(Traffic) for name in ("payload", "moved", "crossed", "network", "early")},
                   by_collective=c.c_uint64 * len(Collective), cluster=c.c_double * len(Traffic),
                   cluster_by_collective=c.c_double * len(Collective), hops=c.c_uint64 * len(Traffic))

_TYPES = {"status": c.c_int, "int": c.c_int, "size": c.c_size_t, "text": c.c_char_p, "real": c.c_double, "bool": c.c_bool,
          "u64": c.c_uint64, "pointer": c.c_void_p, "void": None, "ints": c.POINTER(c.c_int), "rule": c.POINTER(RuleInfo),
          "key": c.POINTER(Key), "tensors": c.POINTER(OptimTensor), "report": c.POINTER(OptimReport),
          "tensor": c.POINTER(Tensor), "shard": Shard, "stats": CommStats, "unsigned": c.c_uint, "range": Range, "block": Block,
          "mesh": c.POINTER(Mesh), "options": VerifyOptions, "options_at": c.POINTER(VerifyOptions), "fn": VerifyFn,
          "shown": c.POINTER(VerifyTensor)}

# result name(arguments): as in the headers. `status` becomes an exception unless it is 0.
_FUNCTIONS = """
text   dn_version
text   dn_error_message
text   dn_blas_better_core
bool   dn_launch_is_worker
rule   dn_rule_at                  size
rule   dn_rule_find                text
bool   dn_rule_takes               rule text
key    dn_config_keys
void   dn_config_init              pointer
status dn_config_set               pointer text
size   dn_optim_heap_bytes         pointer tensors size ints
status dn_optim_create             pointer tensors size pointer int pointer
void   dn_optim_destroy            pointer
status dn_optim_step               pointer u64 real report
status dn_optim_set_weight_decay   pointer text real
status dn_optim_set_frozen         pointer size bool
size   dn_optim_n_states           pointer
tensor dn_optim_state              pointer size
shard  dn_optim_state_shard        pointer size int
status dn_mesh_create              pointer ints pointer
size   dn_mesh_heap_bytes          ints
pointer dn_mesh_comm               mesh unsigned
range  dn_shard_range              size size int int
options dn_verify_defaults
size   dn_verify_heap_bytes        options_at int
status dn_verify_run               pointer options_at fn pointer pointer
bool   dn_verify_rounding          pointer
status dn_verify_block             pointer shown block pointer
status dn_verify_scalar            pointer text real
status dn_verify_same              pointer text text pointer pointer size
status dn_verify_bytes             pointer text u64 u64 real
status dn_verify_hops              pointer text u64 u64
status dn_verify_amount            pointer text u64
bool   dn_verify_holds             pointer
status dn_verify_status            pointer
void   dn_verify_print             pointer pointer
status dn_verify_write_json        pointer text
void   dn_verify_report_destroy    pointer
status dn_verify_inject            text
void   dn_verify_inject_list       pointer
status dn_comm_join                size real pointer
int    dn_comm_leave               pointer int
status dn_comm_create_group        pointer ints int size pointer
int    dn_comm_rank                pointer
int    dn_comm_size                pointer
status dn_comm_barrier             pointer
status dn_comm_all_reduce          pointer pointer size int int int
status dn_comm_reduce              pointer pointer size int int int int
status dn_comm_reduce_scatter      pointer pointer size int int int
status dn_comm_all_gather          pointer pointer size int int
status dn_comm_all_to_all          pointer pointer pointer size int int
status dn_comm_broadcast           pointer pointer size int int
status dn_comm_send                pointer pointer size int int int
status dn_comm_receive             pointer pointer size int int int
status dn_comm_tick                pointer u64 text
stats  dn_comm_get_stats           pointer bool
"""


class Error(RuntimeError):
    """A call of the library failed: its one line says what, where and what to do. status: a dn_status, below 0."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


Error.__module__ = "dionode"  # as programs name it


def _check(status, *_):
    if status != 0:
        raise Error(status, library().dn_error_message().decode(errors="replace"))


def _path():
    """DIONODE_LIBRARY; beside this file, as a wheel has it; or the system's."""
    beside = pathlib.Path(__file__).with_name("libdionode.so")
    return os.environ.get("DIONODE_LIBRARY") or (str(beside) if beside.exists() else "libdionode.so.0.2")


_BETTER_CORE = """
import ctypes, sys
better = ctypes.CDLL(sys.argv[1]).dn_blas_better_core
better.restype = ctypes.c_char_p
sys.stdout.buffer.write(better() or b"")
"""


def _better_core():
    """dn_blas_better_core of another process: OpenBLAS chooses when it is loaded, and this process, which may already be at
    work, cannot start over as dn_blas_tune does. "" where nothing can be told."""
    if "OPENBLAS_CORETYPE" in os.environ or not sys.executable:
        return ""
    return subprocess.run([sys.executable, "-ISc", _BETTER_CORE, _path()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout


@functools.cache
def library():
    """Loaded when first needed: OpenBLAS then starts its threads."""
    core = _better_core()
    if core:
        os.environ["OPENBLAS_CORETYPE"] = core
    try:
        loaded = c.CDLL(_path())
    except OSError as error:
        raise ImportError(f"{error}: install the package's wheel, or set DIONODE_LIBRARY to a libdionode.so; it needs "
                          "OpenBLAS, LAPACKE, hwloc, jansson, libyaml, xxhash and zlib of the system") from None
    finally:
        if core:
            del os.environ["OPENBLAS_CORETYPE"]  # other OpenBLAS builds of this process choose for themselves
    for line in _FUNCTIONS.strip().splitlines():
        result, name, *arguments = line.split()
        function = getattr(loaded, name, None)
        if not function:
            raise ImportError(f"{_path()} has no {name}: it is of another version than this package")
        function.restype = _TYPES[result]
        function.argtypes = [_TYPES[argument] for argument in arguments]
        if result == "status":
            function.restype, function.errcheck = c.c_int, _check
    return loaded


def version():
    return library().dn_version().decode()


def rules():
    """Names of the rules there are, and what each is: {"dion": "...", ...}."""
    found = {}
    while rule := library().dn_rule_at(len(found)):
        found[rule[0].name.decode()] = rule[0].help.decode()
    return found
