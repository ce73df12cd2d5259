#!/usr/bin/env bash
# Runs docs/cluster/folds.slurm with a real Slurm on this machine, as docs/many-machines.md says: three folds of synthetic cells, one of
# which is requeued while it trains and has to resume, and their merge, which must train nothing. Then a fold that fails, whose merge
# has to be cancelled, and a merge without folds, which has to refuse. Exits with 0 if every check passes.
#
#     tools/check_slurm.sh target/release/malaria
#
# Needs root, 2 processors, 5 GiB of memory, jq, and Slurm with MUNGE (apt-get install slurm-wlm munge), whose daemons it starts
# and stops. Takes a minute or two, five on a busy machine. Its folder is kept, and named, if something is wrong.
set -euo pipefail
: "${1:?usage: tools/check_slurm.sh MALARIA}"

script=$(realpath "$(dirname "$0")/../docs/cluster/folds.slurm") work=$(mktemp -d -t check-slurm.XXXXXX) daemons=0
mkdir "$work"/{bin,drawn,state,spool}
ln -s "$(realpath "$1")" "$work/bin/malaria"
unset MALARIA_DATA CELLS OUT
export PATH="$work/bin:/usr/sbin:$PATH" SLURM_CONF="$work/slurm.conf" FOLDS=3
cd "$work"; chmod 755 .; cp "$script" .

fail() { echo "$*" >&2; exit 1; }
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    until "${@:2}"; do [ "$SECONDS" -lt "$end" ] || fail "not within $1 s: ${*:2}"; sleep 0.5; done
}
says() { grep -q "$1" "$2" 2>/dev/null; }
idle() { sinfo --noheader --format=%T 2>/dev/null | grep -qx idle; }
ended() { ! squeue --noheader --jobs="$1" | grep -q .; }
expect() { # STATE JOB
    within 60 ended "$2"
    [ "$(scontrol show job "$2" | grep -o 'JobState=[A-Z]*' | sort -u)" = "JobState=$1" ] || fail "job $2 is not $1"
}
# In a session of its own, since Ctrl-C must not end it before its jobs.
daemon() { setsid "$@" >"$1.log" 2>&1 & daemons=$((daemons + 1)); }
stop() {
    set +e
    [ "$daemons" -lt 3 ] || { scancel --user=root; (within 60 idle); }
    kill $(jobs -p) 2>/dev/null
    wait
    if [ "$1" = 0 ]; then rm -r "$work"; else echo "FAILED: the logs are in $work" >&2; fi
    exit "$1"
}
trap 'stop $?' EXIT; trap 'exit 130' INT TERM HUP

# The cells of ten synthetic patients. The program draws cells before it trains, which is stopped.
malaria train --out drawn/run >drawn.log 2>&1 &
within 120 says '^network' drawn.log
kill $!; wait $! || true
mv drawn/synthetic-cells-* cell_images
find cell_images -name '*.png' ! -name 'C1?[NP]*' -delete
cells=$(find cell_images -name '*.png' | wc -l)

# A cluster of this machine. A requeued job waits until its credential has expired: here 10 s, not two minutes.
(umask 077 && head -c 1024 /dev/urandom >munge.key)
cat >slurm.conf <<END
ClusterName=check
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthInfo=socket=$work/munge.socket,cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
$(slurmd -C | head -1) NodeAddr=127.0.0.1
PartitionName=all Nodes=ALL Default=YES State=UP
END
daemon munged -F --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munge.pid" --seed-file="$work/munge.seed"
within 30 test -S munge.socket
daemon slurmctld -D; daemon slurmd -D
within 60 idle
sinfo --version

job=(folds.slurm --epochs 4)
first=$(sbatch --parsable --array=1-3 "${job[@]}")
merge=$(sbatch --parsable --dependency=afterok:"$first" --kill-on-invalid-dep=yes --array=0 "${job[@]}")
log=slurm-${first}_1.out
within 300 says '^epoch *2: train loss' "$log"
scontrol requeue "${first}_1"
within 900 ended "$merge"
expect COMPLETED "$first"; expect COMPLETED "$merge"
says '^resuming after epoch [23]' "$log" || fail "fold 1 did not resume"
[ "$(grep -c '^epoch *1: train loss' "$log")" = 1 ] || fail "fold 1 started anew, or its log was cut"
! says '^epoch' "slurm-${merge}_0.out" || fail "the merge trained"
[ "$(jq -r '"\(.folds | length) \(.n_test)"' cv/metrics.json)" = "3 $cells" ] || fail "not all folds were pooled"
echo "three folds pooled, $cells cells; fold 1: $(grep '^resuming' "$log")"

export OUT=failed
first=$(CELLS=nowhere sbatch --parsable --array=1 "${job[@]}")
merge=$(sbatch --parsable --dependency=afterok:"$first" --kill-on-invalid-dep=yes --array=0 "${job[@]}")
expect FAILED "$first"; expect CANCELLED "$merge"
merge=$(sbatch --parsable --array=0 "${job[@]}"); expect FAILED "$merge"
says 'fold-1 is not finished' "slurm-${merge}_0.out" || fail "a merge without folds did not refuse"
echo "a failed fold cancels its merge, and a merge without its folds refuses"
