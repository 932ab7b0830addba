# shellcheck shell=bash
# Sourced. mpi_options RANKS prints mpirun's options for RANKS ranks on this host, one a line: each rank on cores of its own where
# there are enough, else side by side. Root is allowed through the environment, where the user is root.

if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# After Ctrl-C mpirun gives ranks one second; a step and writing the adapter take longer.
export OMPI_MCA_odls_base_sigkill_timeout=60

mpi_options() {
  local ranks=$1 cores option
  cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l)
  local allowed
  allowed=$(nproc)
  cores=$((cores < allowed ? cores : allowed))
  local bound=(--map-by "slot:PE=$((cores / ranks))" --bind-to core)
  # Containers may forbid binding: try it.
  if [ "$cores" -ge "$ranks" ] && mpirun -np "$ranks" "${bound[@]}" true >/dev/null 2>&1; then
    options=("${bound[@]}")
  else
    options=(--oversubscribe --bind-to none)
  fi
  for option in "${options[@]}"; do
    echo "$option"
  done
}
