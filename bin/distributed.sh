#!/usr/bin/env bash
# Fine-tune on several nodes: starts torchrun on this node. Run it on every node, with the node's own --node-rank.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: distributed.sh TRAINING VALIDATION OUT MODEL --nnodes N --node-rank I --master HOST [options] [options of finet]

Starts `finet` under torchrun on this node; run the same line on every node, with its own --node-rank.
TRAINING, VALIDATION and MODEL must be there on every node; node 0 writes OUT, and with --resume every node reads it.

  --nnodes N           number of nodes (default: 1)
  --node-rank I        this node's number, 0 to N-1; 0 is the master (default: 0)
  --master HOST        address of node 0 that the other nodes reach (no default on several nodes)
  --master-port PORT   TCP port of the rendezvous on node 0 (default: 29500)
  --nproc-per-node N   processes on this node (default: its number of GPUs, at least 1)
  --interface NAME     network interface for NCCL and gloo (default: the one that reaches --master)
  --hca NAME           RDMA device for NCCL, as ibv_devices lists it (default: NCCL chooses)
  --transport KIND     rdma (RoCE, InfiniBand) or socket (TCP, where RDMA fails) (default: rdma)
  --dry_run            print the environment and the command, and start nothing
  --help               show this help

All other options go to finet: see `bin/finet --help`. The log's NET/IB or NET/Socket lines say which transport NCCL uses.
EOF
}

fail() {
    echo "error: $*" >&2
    exit 2
}

nnodes=1
node_rank=0
master=
master_port=29500
nproc_per_node=
interface=
hca=
transport=rdma
dry_run=no
finet=()

while [ $# -gt 0 ]; do
    # --flag=value and --flag value mean the same; underscores and hyphens, too.
    flag=$1
    value=
    inline=no
    case $flag in
        --*=*)
            value=${flag#*=}
            flag=${flag%%=*}
            inline=yes
            ;;
    esac
    case ${flag//_/-} in
        --nnodes | --node-rank | --master | --master-port | --nproc-per-node | --interface | --hca | --transport)
            if [ "$inline" = no ]; then
                [ $# -ge 2 ] || fail "$flag needs a value"
                value=$2
                shift
            fi
            [ -n "$value" ] || fail "$flag needs a value"
            name=${flag//-/_}
            printf -v "${name#__}" '%s' "$value"
            ;;
        --dry-run) dry_run=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) finet+=("$1") ;;
    esac
    shift
done

for name in nnodes node_rank master_port ${nproc_per_node:+nproc_per_node}; do
    [[ ${!name} =~ ^[0-9]+$ ]] || fail "--${name//_/-} ${!name} is not a whole number"
done
[ "$nnodes" -ge 1 ] || fail "--nnodes must be at least 1"
[ "$node_rank" -lt "$nnodes" ] || fail "--node-rank $node_rank must be less than --nnodes $nnodes: nodes count from 0"
if [ "$nnodes" -gt 1 ] && [ -z "$master" ]; then
    fail "--master is missing: give the address of node 0"
fi
[ ${#finet[@]} -ge 4 ] || fail "TRAINING VALIDATION OUT MODEL are missing; --help shows how to call it"

if [ -z "$nproc_per_node" ]; then
    nproc_per_node=1
    if command -v nvidia-smi >/dev/null; then
        gpus=$(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU' || true)
        [ "$gpus" -gt 0 ] && nproc_per_node=$gpus
    fi
fi
if [ -z "$interface" ] && [ "$nnodes" -gt 1 ] && command -v ip >/dev/null; then
    # On node 0, the route to its own address is the loopback: the interface that holds the address is the right one.
    interface=$(ip -o -4 addr show 2>/dev/null | awk -v address="$master" '{ split($4, part, "/"); if (part[1] == address) print $2 }' | head -n 1)
    [ -n "$interface" ] ||
        interface=$(ip -o route get "$master" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1 || true)
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
torchrun=(
    "${PYTHON:-python3}" -m torch.distributed.run
    --nnodes "$nnodes" --node-rank "$node_rank"
    --nproc-per-node "$nproc_per_node"
    --master-addr "${master:-127.0.0.1}" --master-port "$master_port"
    "$here/finet" "${finet[@]}"
)

environment=(
    "NCCL_DEBUG=${NCCL_DEBUG:-INFO}"
    "NCCL_DEBUG_SUBSYS=${NCCL_DEBUG_SUBSYS:-INIT,NET}"
    "TORCH_NCCL_ASYNC_ERROR_HANDLING=1"
    # Elastic restarts on several nodes otherwise reuse a store that is gone (pytorch#135712).
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
    "OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + nproc_per_node - 1) / nproc_per_node))}"
)
[ -z "$interface" ] || environment+=("NCCL_SOCKET_IFNAME=$interface" "GLOO_SOCKET_IFNAME=$interface")
[ -z "$hca" ] || environment+=("NCCL_IB_HCA=$hca")
case $transport in
    # RDMA transport: GID index 3 is RoCE version 2 over IPv4 on ConnectX cards.
    rdma) environment+=("NCCL_IB_DISABLE=0" "NCCL_IB_GID_INDEX=${NCCL_IB_GID_INDEX:-3}") ;;
    # Socket transport: plain TCP, where RDMA fails.
    socket) environment+=("NCCL_IB_DISABLE=1" "NCCL_NET=Socket") ;;
    *) fail "--transport $transport is unknown: rdma or socket" ;;
esac
# --transport socket, for good: uncomment the next two lines.
# environment+=("NCCL_IB_DISABLE=1")
# environment+=("NCCL_NET=Socket")

if [ "$dry_run" = yes ]; then
    printf '%q ' env "${environment[@]}" "${torchrun[@]}"
    echo
    exit 0
fi
exec env "${environment[@]}" "${torchrun[@]}"
