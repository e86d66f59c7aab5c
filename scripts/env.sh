# SPDX-License-Identifier: Apache-2.0
# Environment in which `pitaya` finds ROS 2 and the packages built in this checkout; made for sourcing from sh, bash or zsh.
#
#   . scripts/env.sh            from the top of the checkout, or
#   scripts/with_ros COMMAND    from anywhere, for one command
#
# PITAYA_ROOT names the checkout where the shell cannot tell (plain sh outside the top folder).

if [ -n "${BASH_SOURCE:-}" ]; then
  PITAYA_ROOT=$(cd "$(dirname "$BASH_SOURCE")/.." && pwd)
elif [ -n "${ZSH_VERSION:-}" ]; then
  PITAYA_ROOT=$(cd "$(dirname "$0")/.." && pwd)
else
  PITAYA_ROOT=${PITAYA_ROOT:-$(pwd)}
fi
export PITAYA_ROOT

# Puts $2 at the head of the path list named $1 and nowhere else in it.
_pitaya_prepend() {
  eval "_pitaya_list=:\${$1:-}:"
  while :; do
    case $_pitaya_list in
      *":$2:"*) _pitaya_list="${_pitaya_list%%":$2:"*}:${_pitaya_list#*":$2:"}" ;;
      *) break ;;
    esac
  done
  _pitaya_list=${_pitaya_list#:}
  _pitaya_list=${_pitaya_list%:}
  export "$1=$2${_pitaya_list:+:$_pitaya_list}"
}

_pitaya_use() {
  if [ ! -f "$PITAYA_ROOT/.venv/ros" ]; then
    echo "pitaya: $PITAYA_ROOT/.venv is missing or incomplete; run \`make setup\` in $PITAYA_ROOT" >&2
    return 1
  fi
  _pitaya_python=$(sed -n 's/^python=//p' "$PITAYA_ROOT/.venv/ros")
  _pitaya_site=lib/$_pitaya_python/site-packages
  if [ "$(sed -n 's/^source=//p' "$PITAYA_ROOT/.venv/ros")" = wheels ]; then
    # The wheels re-execute Python once to set the library path; doing it here saves every process that start.
    find "$PITAYA_ROOT/.venv/$_pitaya_site" -maxdepth 1 -type d -name 'ros_*.libs' >"$PITAYA_ROOT/.venv/ros_libs.$$"
    while read -r _pitaya_libs; do
      _pitaya_prepend LD_LIBRARY_PATH "$_pitaya_libs"
    done <"$PITAYA_ROOT/.venv/ros_libs.$$"
    rm -f "$PITAYA_ROOT/.venv/ros_libs.$$"
    _pitaya_prepend LD_LIBRARY_PATH "$PITAYA_ROOT/.venv/lib"
    _pitaya_prepend AMENT_PREFIX_PATH "$PITAYA_ROOT/.venv"
    export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
  elif [ -z "${ROS_DISTRO:-}" ]; then
    echo "pitaya: this checkout was set up on an installed ROS 2; source its setup file first" >&2
    return 1
  fi
  for _pitaya_package in pitaya_bringup pitaya_msgs pitaya_nodes; do
    [ -d "$PITAYA_ROOT/install/$_pitaya_package" ] || continue
    _pitaya_prepend AMENT_PREFIX_PATH "$PITAYA_ROOT/install/$_pitaya_package"
  done
  _pitaya_prepend LD_LIBRARY_PATH "$PITAYA_ROOT/install/pitaya_msgs/lib"
  _pitaya_prepend PYTHONPATH "$PITAYA_ROOT/install/pitaya_msgs/$_pitaya_site"
  # colcon links the node package from its build folder, so edits count without a new build.
  _pitaya_prepend PYTHONPATH "$PITAYA_ROOT/build/pitaya_nodes"
  _pitaya_prepend PATH "$PITAYA_ROOT/.venv/bin"
  # Robots on the same network must not hear a laptop's experiment unless somebody asks for it.
  export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
  # A process that is started anew is heard at once; whoever sets up Fast DDS otherwise is left alone.
  if [ -z "${FASTRTPS_DEFAULT_PROFILES_FILE:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}${RMW_FASTRTPS_USE_QOS_FROM_XML:-}" ]; then
    export FASTRTPS_DEFAULT_PROFILES_FILE="$PITAYA_ROOT/config/dds/fastdds.xml"
  fi
  # The networks are small: thread pools cost more than they give and disturb the control loop.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
}

_pitaya_use
