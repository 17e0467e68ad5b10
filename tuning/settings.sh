# shellcheck shell=bash disable=SC2034 # what is set here is used by those two
# tuning/settings.sh: the settings of a host that media depends on. tuning/check shows them, tuning/apply changes them.
#
# `settings` prints a row for each one that this host has:
#   level|name|found|wanted|why|gain|kind|targets|value
# level: ok; note, which is yours to judge; POOR, which costs media or calls.
# gain: what it is worth, and how that is known.
# kind: how a target is read and set, by read_KIND and set_KIND; `hand` is for people, and value tells them what to do.
# targets, value: what is to be set to what; targets are separated by spaces.

proc=${PROC:-/proc} sys=${SYS:-/sys}
table=causeway_tuning # not `causeway`, which is the firewall that `causeway check` prints

# What the options of both programs say.
pid='' workers='' ports=40500-40563 cards='' irq=away skip=()
options="[--workers CORES] [--ports RANGES] [--card NAME]... [--irq away|spread] [--skip NAME]..."
option_help="
  --workers CORES   the cores of node.workers, such as 1-3,5; by default all but the first
  --ports RANGES    the UDP ports of the node: mux_port and ports of each interface, 443 or 3478 with an edge or TURN,
                    such as 443,30000-40000; by default $ports
  --card NAME       a network card that media comes in on; by default all that are hardware
  --irq away        interrupts of cards go to the cores that are not the workers' (the default)
  --irq spread      interrupts of cards go to the workers' cores, one queue each
  --skip NAME       leave a setting alone; NAME as it is printed, may have *"

fail() {
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	exit 2
}

# Takes an option that both programs have, with its value.
takes() {
	case $1 in
		--workers | --ports | --card | --irq | --skip) [ -n "${2:-}" ] || fail "$1 needs a value; see --help" ;;
		*) fail "there is no option $1; see --help" ;;
	esac
	case $1 in
		--workers)
			is_list "$2" || fail "--workers $2: cores are written as 1-3,5"
			workers=$(union "$2")
			;;
		--ports)
			{ is_list "$2" && [ -z "$(minus "$2" 1-65535)" ]; } ||
				fail "--ports $2: ports are written as 443,30000-40000"
			ports=$(union "$2")
			;;
		--card)
			[ -e "$sys/class/net/$2" ] || fail "--card $2: there is no such card; ip link shows those that are"
			cards+=" $2"
			;;
		--irq)
			[[ $2 == away || $2 == spread ]] || fail "--irq $2: away or spread"
			irq=$2
			;;
		--skip) skip+=("$2") ;;
	esac
}

# Fills in what no option says. To be called once after all of them.
defaults() {
	local card core
	[ -z "$pid" ] || [ -n "$workers" ] || workers=$(union "$(cores_of_workers "$pid" | cut -d' ' -f2 | paste -sd,)")
	online=$(value "$sys/devices/system/cpu/online" || echo 0)
	workers=${workers:-$(minus "$online" "${online%%[-,]*}")}
	workers=${workers:-$online}
	others=$(minus "$online" "$workers")
	core=$(minus "$workers" "$online")
	[ -z "$core" ] || fail "--workers $workers: this host has no core $core, only $online"
	[ -n "$cards" ] || for card in "$sys"/class/net/*/device; do
		[ ! -e "$card" ] || cards+=" $(basename "${card%/device}")"
	done
}

settings() {
	of_kernel
	of_sockets
	of_ports
	of_uring
	of_process
	of_cores
	for card in $cards; do of_card "$card"; done
}

of_kernel() {
	local release level=ok
	release=$(value "$proc/sys/kernel/osrelease")
	at_least_version "$release" 6.12 || level=note
	at_least_version "$release" 6.1 || level=POOR
	row "$level" kernel "$release" "6.12 or later, at least 6.1" \
		"min_wait lets packets gather, so that a worker wakes less; below 6.1 io_uring lacks what the node uses" \
		"measured with a plain forwarder: 17.9 us of CPU per packet become 9.8 at 20 000 packets/s, one at a time" \
		hand "" "install a newer kernel"
	by_hand "$(value "$sys/devices/system/clocksource/clocksource0/current_clocksource")" \
		"is tsc kvm-clock hyperv_clocksource_tsc_page arch_sys_counter riscv_clocksource" \
		"clock source" POOR \
		"others are read by a system call, or slowly; each turn of a worker and each time stamp reads one" \
		"measured: 37 ns instead of 280 for each read, without what the device of hpet or acpi_pm costs" \
		"see the kernel's log for why; tsc=reliable on the kernel's command line if the host is known to be good"
}

of_sockets() {
	local backlog level=note
	backlog=$(value "$proc/net/softnet_stat" | while read -r _ dropped _; do echo "$((16#$dropped))"; done | paste -sd+)
	[ "$((backlog))" = 0 ] || level=POOR
	by file "$proc/sys/net/core/rmem_max" "least 1048576" 1048576 net.core.rmem_max POOR "$buffer_why" \
		"measured: room for 2520 packets of voice instead of 512: at 20 000/s a stall of 126 ms, not 26"
	by file "$proc/sys/net/core/wmem_max" "least 1048576" 1048576 net.core.wmem_max POOR "$buffer_why" \
		"no figure is known; what is lost is counted as tx_refused"
	by_hand "$(awk '/^Udp: [0-9]/ {print $6}' "$proc/net/snmp" 2>/dev/null)" "is 0" "lost: full sockets" note \
		"datagrams that socket buffers had no room for since the start, of any program (RcvbufErrors)" \
		"each is a lost packet" "see the buffers above, and whether workers have their cores for themselves"
	by file "$proc/sys/net/core/netdev_max_backlog" "least 10000" 10000 net.core.netdev_max_backlog $level \
		"packets that wait for a core after RPS, loopback or a virtual card; all calls arrive on few cores" \
		"no figure is known; what is lost is counted below"
	by file "$proc/sys/net/core/netdev_budget" "least 600" 600 net.core.netdev_budget note \
		"packets that one round of receiving may take before other work gets the core" \
		"no figure is known; rounds that ran out are column 3 of /proc/net/softnet_stat"
	by_hand "${backlog:+$((backlog))}" "is 0" "lost: backlog" note \
		"packets that the backlog had no room for since the start" "each is a lost packet" \
		"see net.core.netdev_max_backlog"
}

buffer_why="each media socket asks for 1 MiB, and the kernel cuts it to this without a word"

of_ports() {
	local low high taken reserved exempt nf=$proc/sys/net/netfilter level=note
	read -r low high < <(value "$proc/sys/net/ipv4/ip_local_port_range")
	taken=$(common "$ports" "${low:-0}-${high:-0}")
	reserved=$(value "$proc/sys/net/ipv4/ip_local_reserved_ports")
	by file "$proc/sys/net/ipv4/ip_local_reserved_ports" "covers $taken" "$(union "$reserved,$taken")" \
		net.ipv4.ip_local_reserved_ports POOR \
		"outgoing connections take ports from $low to $high; one that takes a media port leaves a call without it" \
		"no figure is known: a call fails for each port that is taken"

	[ -e "$nf/nf_conntrack_max" ] || return 0
	[ "$(value "$nf/nf_conntrack_count")" = 0 ] || level=POOR
	exempt=$(exempt_ports)
	if [ -z "$(minus "$ports" "$exempt")" ] || ! command -v nft >/dev/null; then
		by_hand "$exempt" "covers $ports" "conntrack exemption" $level "$conntrack_why" "$conntrack_gain" \
			"install nftables, or exempt the ports in the table raw of iptables (-j CT --notrack)"
	else
		by notrack $table "covers $ports" "$ports" "conntrack exemption" $level "$conntrack_why" "$conntrack_gain"
	fi
	by file "$nf/nf_conntrack_max" "least 262144" 262144 net.netfilter.nf_conntrack_max note \
		"once the table is full, packets of new calls are dropped" \
		"no figure is known; the kernel logs \"table full, dropping packet\""
}
conntrack_why="a stateful firewall looks each media packet up, and makes entries that fill its table"
conntrack_gain="measured: 19.4 us of CPU per packet become 16.6 (10 000 packets/s over loopback, medians of three)"

of_uring() {
	local found
	by file "$proc/sys/kernel/io_uring_disabled" "is 0" 0 kernel.io_uring_disabled POOR \
		"1 denies io_uring to all but kernel.io_uring_group, 2 to all: the node falls back to recvmmsg and sendmmsg" \
		"$uring_gain"
	if [ -n "$pid" ]; then
		found=$(uring_of "$pid")
		by_hand "$found" "is io_uring" "I/O of the node" POOR \
			"a filter of its container or unit denies io_uring, or node.backend; seccomp mode is $(seccomp_of "$pid")" \
			"$uring_gain" "tuning/seccomp.json for containers, SystemCallFilter= as in tuning/causeway.service"
	elif command -v perl >/dev/null; then
		# io_uring_setup has this number on every architecture but Alpha.
		found=$(perl -e 'my $p = "\0" x 120; print syscall(425, 1, $p) < 0 ? "denied: $!" : "allowed"' 2>&1)
		by_hand "$found" "is allowed" io_uring POOR \
			"tried from this shell; the node may have another seccomp filter: name its PID" "$uring_gain" \
			"see kernel.io_uring_disabled and the seccomp filter of this container"
	fi
}
uring_gain="measured: 17.5 us of CPU per packet become 16.6 (10 000 packets/s over loopback, medians of three)"

# Limits and threads: of the node if there is one, else of this shell.
of_process() {
	local limits=$proc/${pid:-self}/limits whose=${pid:+of the node} level=POOR name cores
	whose=${whose:-of this shell}
	[ -n "$pid" ] || level=note
	by_hand "$(awk '/^Max open files/ {print $5}' "$limits" 2>/dev/null)" "least 20000" "descriptors $whose" $level \
		"each media socket is one, the node lifts its soft limit to this hard one" \
		"no figure is known: calls beyond it are refused" \
		"LimitNOFILE= in the unit, --ulimit nofile= of a container"
	by_hand "$(awk '/^Max locked memory/ {print $5}' "$limits" 2>/dev/null)" "least 67108864" \
		"locked memory $whose" note "kernels that count rings as locked memory make none beyond this" \
		"none on a kernel from 5.12 on, which counts them as the process's memory" \
		"LimitMEMLOCK= in the unit, --ulimit memlock= of a container"
	[ -n "$pid" ] || return 0
	while read -r name cores; do
		by_hand "$cores" one "core of $name" note "it is not pinned, and waits for other threads" "no figure is known" \
			"see the node's log for why"
	done < <(cores_of_workers "$pid")
}

of_cores() {
	local core siblings deepest cpu=$sys/devices/system/cpu
	by_hand "$(value "$cpu/isolated")" "covers $workers" "isolated cores" note \
		"other programs on a worker's core make packets wait for a time slice, some milliseconds" \
		"measured: p90 of a packet's way 0.6 to 1.2 ms instead of 4.1 to 5.2 beside two busy programs" \
		"isolcpus=$workers on the kernel's command line and a reboot, or AllowedCPUs=$others for systemd's other slices"
	by_hand "$(value "$cpu/nohz_full" | sed 's/ *(null)//')" "covers $workers" "cores without tick" note \
		"the tick interrupts a busy worker up to 1000 times a second" "no figure is known" \
		"nohz_full=$workers rcu_nocbs=$workers on the kernel's command line and a reboot"

	for core in $(numbers "$workers"); do
		siblings=$(minus "$(value "$cpu/cpu$core/topology/thread_siblings_list")" "$core")
		by_hand "$(common "$siblings" "$online")" nothing "siblings of core $core" note \
			"hyper-threads of one core share its units: what works beside a worker slows it down" \
			"measured on virtual cores: 1.2 to 1.5 times the CPU per packet beside a busy one" \
			"leave the siblings out of node.workers and keep them idle, or nosmt on the kernel's command line"
	done
	by file "$(of_workers "cpufreq/scaling_governor")" "is performance" performance "CPU governor" note \
		"a core that clocks down between packets handles the next one slowly" "no figure is known"
	deepest=$(deepest_sleep)
	[ "$deepest" -le 20 ] ||
		by file "$(of_workers "power/pm_qos_resume_latency_us")" "limit 20" 20 "CPU sleep" note \
			"a core in its deepest sleep takes $deepest us to wake; this limits what is allowed, in us" \
			"as the kernel tells: up to $deepest us less for a packet that finds the core asleep"
	by_hand "$(without_irqbalance)" "covers $workers" "cores without irqbalance" note \
		"it moves interrupts to workers' cores, also those that were placed" \
		"no figure is known" \
		"systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST=$workers in /etc/default/irqbalance"
}

of_card() {
	local card=$1 net=$sys/class/net/$1 to=$others steer=0 queues tx way max feature on irqs=() n=0 i
	[[ $irq == away && -n $others ]] || to=$workers
	queues=$(count "$net"/queues/rx-*) tx=$(count "$net"/queues/tx-*)

	by_hand "$queues" "least $(min "$(most_queues "$card")" "$(numbers "$to" | wc -w)")" "$card queues" note \
		"each receive queue is one core's work; cores without one help only by RPS" \
		"rtpengine's users: one queue ends at about 1000 calls, eight spread them (sipwise/rtpengine#1069)" \
		"ethtool -L $card combined N: the link goes down for a moment"
	for i in "$net"/device/{,../}msi_irqs/*; do
		[ ! -e "$proc/irq/${i##*/}/smp_affinity_list" ] || irqs+=("$proc/irq/${i##*/}/smp_affinity_list")
	done
	if [ "$to" = "$others" ]; then
		by file "${irqs[*]}" "within $to" "$to" "$card interrupts" note \
			"interrupts and the receiving that follows them take time from the worker on the core that they go to" \
			"no figure is known: measure both, --irq away and --irq spread"
	else
		for i in "${irqs[@]}"; do
			by file "$i" "is $(nth $n "$to")" "$(nth $n "$to")" "$card interrupt $(basename "$(dirname "$i")")" note \
				"one queue to each worker's core: receiving is spread evenly" \
				"no figure is known: measure both, --irq away and --irq spread"
			n=$((n + 1))
		done
	fi
	# With a queue for each core RPS only adds an interrupt between cores to each packet.
	[ "$queues" -ge "$(numbers "$to" | wc -w)" ] || steer=$(mask "$to")
	by file "$(echo "$net"/queues/rx-*/rps_cpus)" "mask $steer" "$steer" "$card rps_cpus" note \
		"fewer queues than cores: RPS lets other cores receive; with as many it is one more interrupt for each packet" \
		"no figure is known; as the kernel's networking/scaling.rst suggests"
	[ "$tx" -le 1 ] || for ((n = 0; n < tx; n++)); do
		by file "$net/queues/tx-$n/xps_cpus" some "$(mask "$(every "$tx" "$n" "$online")")" \
			"$card xps_cpus of tx-$n" note \
			"each core sends on a queue of its own instead of waiting for the lock of a shared one" \
			"no figure is known; as the kernel's networking/scaling.rst suggests"
	done

	for way in rx tx; do
		max=$(ring_max "$card/$way")
		[ -z "$max" ] ||
			by ring "$card/$way" "least $(min "$max" 2048)" "$(min "$max" 2048)" "$card $way ring" note \
				"packets that the card keeps while the core is busy: 256 are 1 ms of 256 000/s" \
				"no figure is known; what is lost is rx_missed_errors"
	done
	by_hand "$(value "$net/statistics/rx_missed_errors")" "is 0" "lost: $card" note \
		"packets that the card had no room for" "each is a lost packet" "see its rings and interrupts"
	while read -r feature on; do
		by offload "$card/$feature" "is $on" "$on" "$card $feature" note \
			"$(offload_why "$feature")" "no figure is known"
	done <<-END
		generic-receive-offload on
		rx-udp-gro-forwarding off
		rx-gro-list off
		tx-udp-segmentation on
	END
}

offload_why() {
	case $1 in
		generic-receive-offload) echo "streams over TCP 443 come in larger pieces; media over UDP is as it was" ;;
		tx-udp-segmentation) echo "the card can cut what is sent as one; so far the node sends packet by packet" ;;
		*) echo "packets are put together and taken apart again before the node, which reads them one by one" ;;
	esac
}

# Rows

# Prints a row, unless its setting is to be left alone.
row() {
	local one
	for one in "${skip[@]}"; do
		# shellcheck disable=SC2053 # a pattern
		[[ $2 != $one ]] || return 0
	done
	printf '%s|%s|%s|%s|%s|%s|%s|%s|%s\n' "$@"
}

# Of a setting that tuning/apply can set: kind, targets, rule, value, name, level if it is not so, why, gain. Targets
# that this host lacks are left out, and so are good ones if others are not.
by() {
	local kind=$1 rule=$3 value=$4 name=$5 level=$6 why=$7 gain=$8 target now values=() all=() bad=()
	for target in $2; do
		now=$("read_$kind" "$target") || continue
		values+=("${now:-none}") all+=("$target")
		# shellcheck disable=SC2086 # a word and what it is about
		meets "$now" $rule || bad+=("$target")
	done
	[ ${#all[@]} -gt 0 ] || return 0
	[ ${#bad[@]} -gt 0 ] || level=ok bad=("${all[@]}")
	now=$(printf '%s\n' "${values[@]}" | sort -u | paste -sd' ')
	row "$level" "$name" "$now" "$(words "$rule")" "$why" "$gain" "$kind" "${bad[*]}" "$value"
}

# Of a setting that people must set: found, rule, name, level if it is not so, why, gain, what to do. Nothing found is a
# list without numbers, else a setting that this host lacks.
by_hand() {
	local level=ok
	[[ -n $1 || $2 == covers* || $2 == nothing ]] || return 0
	# shellcheck disable=SC2086 # a word and what it is about
	meets "$1" $2 || level=$4
	row "$level" "$3" "${1:-none}" "$(words "$2")" "$5" "$6" hand "" "$7"
}

# Whether what is found is as the rule says.
meets() {
	local found=$1 rule=$2
	shift 2
	case $rule in
		least) [ "$found" = unlimited ] || { [ -n "$found" ] && [ "$found" -ge "$1" ]; } ;;
		is) [[ -n $found && " $* " == *" $found "* ]] ;;
		within) [ -z "$(minus "$found" "${1:-}")" ] ;;
		covers) [ -z "$(minus "${1:-}" "$found")" ] ;;
		limit) [ "$found" = n/a ] || { [ "$found" -gt 0 ] && [ "$found" -le "$1" ]; } ;;
		mask) [ "$(bare "$found")" = "$(bare "$1")" ] ;;
		some) [ -n "$(bare "$found")" ] ;;
		one) [[ $found =~ ^[0-9]+$ ]] ;;
		nothing) [ -z "$found" ] ;;
	esac
}

# The rule for people.
words() {
	local rest=${1#* }
	case $1 in
		least*) echo "$rest or more" ;;
		is*) echo "${rest// / or }" ;;
		within* | covers* | mask*) echo "${rest:-none}" ;;
		limit*) echo "$rest or less" ;;
		one) echo "one core" ;;
		nothing) echo none ;;
		some) echo "any core" ;;
	esac
}

# Reading and setting, by kind

value() { cat "$1" 2>/dev/null; }

read_file() { value "$1"; }
set_file() { printf '%s\n' "$2" >"$1"; }

# card/rx or card/tx
read_ring() { ring "$1" 2; }
set_ring() { ethtool -G "${1%/*}" "${1#*/}" "$2"; }
ring_max() { ring "$1" 1; }
ring() { # which of the two figures
	local said
	said=$(ethtool -g "${1%/*}" 2>/dev/null) || return 1
	awk -v way="${1#*/}" -v nth="$2" 'tolower($1) == way ":" && ++n == nth && $2 + 0 > 0 {print $2}' <<<"$said" | grep .
}

# card/feature; one that cannot be changed is not told
read_offload() {
	local said
	said=$(ethtool -k "${1%/*}" 2>/dev/null) || return 1
	awk -v name="${1#*/}:" '$1 == name && $3 == "" {print $2}' <<<"$said" | grep .
}
set_offload() { ethtool -K "${1%/*}" "${1#*/}" "$2"; }

# The ports that our table exempts; none without it.
read_notrack() { nft list table inet $table 2>/dev/null | notrack_ports; }
set_notrack() {
	nft -f - <<-END
		table inet $table
		delete table inet $table
		$([ -z "$2" ] || exemption "${2//,/, }")
	END
}
exemption() {
	cat <<-END
		table inet $table {
			chain prerouting {
				type filter hook prerouting priority raw; policy accept;
				udp dport { $1 } notrack
			}
			chain output {
				type filter hook output priority raw; policy accept;
				udp sport { $1 } notrack
			}
		}
	END
}

# The ports of incoming packets that anybody's rules exempt.
exempt_ports() {
	{
		nft list ruleset 2>/dev/null
		# Asked only where the table is: iptables would load its module.
		! grep -qsx raw "$proc/net/ip_tables_names" ||
			iptables-save -t raw | sed -n "s/$notrack_of_iptables/udp dport \\1 notrack/p"
	} | notrack_ports
}
notrack_of_iptables='^-A PREROUTING .*--dports* \([0-9:,]*\) .*\(--notrack\|NOTRACK\).*'
notrack_ports() { union "$(sed -n 's/.*udp dport \(.*\) notrack.*/\1/p' | tr -d '{} ' | tr : - | paste -sd,)"; }

# What the host says of itself

at_least_version() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

seccomp_of() { awk '$1 == "Seccomp:" {print $2}' "$proc/$1/status" 2>/dev/null; }

uring_of() {
	local descriptor
	[ -r "$proc/$1/fd" ] || return 0
	for descriptor in "$proc/$1/fd"/*; do
		[[ $(readlink "$descriptor") != *io_uring* ]] || { echo io_uring && return; }
	done
	echo "recvmmsg and sendmmsg"
}

# A file of each worker's core, of those that have it.
of_workers() {
	local core
	for core in $(numbers "$workers"); do echo "$sys/devices/system/cpu/cpu$core/$1"; done | paste -sd' '
}

# A line `worker-0 3` for each worker of a process: its thread and the cores that it may run on.
cores_of_workers() {
	local task name
	for task in "$proc/$1/task"/*; do
		name=$(value "$task/comm")
		[[ $name != worker-* ]] || echo "$name $(awk '/^Cpus_allowed_list/ {print $2}' "$task/status")"
	done
}

# The longest time in us that a worker's core takes to wake.
deepest_sleep() {
	local core
	for core in $(numbers "$workers"); do
		cat "$sys/devices/system/cpu/cpu$core/cpuidle"/state*/latency 2>/dev/null
	done | sort -n | tail -n1 | grep . || echo 0
}

# The cores that irqbalance is kept off; all if it does not run.
without_irqbalance() {
	local runs
	runs=$(grep -lx irqbalance "$proc"/[0-9]*/comm 2>/dev/null | head -n1)
	if [ -z "$runs" ]; then
		echo "$online"
	else
		tr '\0' '\n' 2>/dev/null <"${runs%comm}environ" | sed -n 's/^IRQBALANCE_BANNED_CPULIST=//p'
	fi
}

most_queues() {
	local said
	said=$(ethtool -l "$1" 2>/dev/null |
		awk '/^Current/ {exit} /^(RX|Combined):/ && $2 + 0 > most {most = $2} END {print most}')
	echo "${said:-1}"
}

# Lists of numbers, as the kernel writes them: 1-3,7

is_list() { [[ $1 =~ ^[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*$ ]]; }

# The numbers of the first list that the second one lacks.
minus() {
	awk -v have="$1" -v lack="$2" '
		function mark(list, set,    parts, ends, n, i) {
			n = split(list, parts, ",")
			for (i = 1; i <= n; i++) {
				if (split(parts[i], ends, "-") == 1) ends[2] = ends[1]
				if (parts[i] != "") for (ends[1] += 0; ends[1] <= ends[2] + 0; ends[1]++) set[ends[1]] = 1
				if (ends[2] + 0 > last) last = ends[2] + 0
			}
		}
		BEGIN {
			mark(have, yes); mark(lack, no)
			for (n = 0; n <= last + 1; n++) {
				if (n in yes && !(n in no)) { if (!run++) start = n }
				else if (run) {
					printf "%s%d", comma, start; if (run > 1) printf "-%d", n - 1
					comma = ","; run = 0
				}
			}
		}'
}
union() { minus "$1" ""; }
common() { minus "$1" "$(minus "$1" "$2")"; }
numbers() { tr , '\n' <<<"$1" | while IFS=- read -r low high; do [ -z "$low" ] || seq "$low" "${high:-$low}"; done; }

# The nth of a list, from 0 and round again.
nth() {
	local all
	mapfile -t all < <(numbers "$2")
	echo "${all[$1 % ${#all[@]}]}"
}

# Every so many of a list, from the nth on.
every() { numbers "$3" | awk -v step="$1" -v first="$2" '(NR - 1) % step == first' | paste -sd,; }

# A list of cores as the kernel's masks are written: groups of 32 bits, the highest first.
mask() {
	local core groups=() group text=
	for core in $(numbers "$1"); do
		groups[core / 32]=$((${groups[core / 32]:-0} | 1 << core % 32))
		for ((group = 0; group < core / 32; group++)); do groups[group]=${groups[group]:-0}; done
	done
	for group in "${groups[@]}"; do printf -v text '%08x,%s' "$group" "$text"; done
	text=${text%,}
	echo "${text##+(0)}"
}

# A mask without what does not count.
bare() {
	local digits=${1//,/}
	echo "${digits##+(0)}"
}
shopt -s extglob

count() { [ ! -e "$1" ] && echo 0 || echo $#; }
min() { [ "$1" -lt "$2" ] && echo "$1" || echo "$2"; }
