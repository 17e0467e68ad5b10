#!/bin/bash
# natlab.sh [-p PREFIX] up|check|move-host|move-nat|status|down: a deployment in network namespaces PREFIX-browser, PREFIX-server, … (root needed)
#
#   browser  192.168.1.100    -- homert (masquerade, WAN 198.51.100.2) --+
#                                                                        +-- inet --+-- igw (1:1 NAT) -- server 172.31.5.10
#   agent    10.20.0.50       -- entfw  (masquerade, TCP 80/443 only) ---+          |    203.0.113.5 <-> 172.31.5.10
#                                        WAN 198.51.100.6                |          |    2001:db8:5::10 routed, no NAT
#   tlsagent 10.30.0.50       -- tlsfw  (proxy: only TLS on TCP 443) ----+          |
#                                        WAN 198.51.100.22               |          peer 198.51.100.14 (an open host, e.g. a carrier)
#   browser6 2001:db8:6::100  -- homert6 (no NAT, no IPv4) --------------+
#   browser2 192.168.1.100    -- homert2 (as homert, WAN 198.51.100.26) -+
#
# tlsfw lets nothing through but what its proxy (tlsproxy.py) leads on: a TCP connection to port 443 that begins with a TLS
# ClientHello, which the server sees come from 198.51.100.22. homert6 lets in what belongs to what browser6 began.
# PREFIX is `pr` unless given; labs with different prefixes stand side by side.
# HOME_NAT=cone|symmetric   masquerade keeping ports | masquerade fully-random (new port per destination)
# HOME_LOSS=percent         random UDP loss on the home link, both ways (by nftables: not every kernel has sch_netem)
# HOME_RATE=kbit/s          what the home link carries towards the browser, behind a queue of 300 ms
# move-host gives the home's browser another address at once and takes its connections; move-nat gives its NAT another one and takes its bindings.
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
P=pr
if [ "${1:-}" = -p ]; then
	P=${2:?-p needs a prefix}
	shift 2
fi
NS="browser homert browser2 homert2 browser6 homert6 inet entfw agent tlsfw tlsagent igw server peer"
PUB=203.0.113.5 PRIV=172.31.5.10 PUB6=2001:db8:5::10 HOME6=2001:db8:6::100
PROXY=3129
V6="browser6 homert6 inet igw server"
x() { local n=$1; shift; ip netns exec "$P-$n" "$@"; }
link() { # nsA addrA nsB addrB: one veth pair; each end is named after where it leads
	ip link add "to-$3" netns "$P-$1" type veth peer name "to-$1" netns "$P-$3"
	x "$1" ip addr add "$2" dev "to-$3"; x "$3" ip addr add "$4" dev "to-$1"
	# a card cuts joined datagrams up before they are on the wire; so does this one, and whoever listens there sees each
	x "$1" ethtool -K "to-$3" tx-udp-segmentation off; x "$3" ethtool -K "to-$1" tx-udp-segmentation off
	x "$1" ip link set "to-$3" up; x "$3" ip link set "to-$1" up
}
up() {
	down >/dev/null 2>&1
	# a host without IPv6 has no address of it either: a browser that sees one come breaks off what it loads
	for n in $NS; do
		ip netns add $P-$n
		case " $V6 " in
			*" $n "*) ;;
			*) x $n sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 ;;
		esac
		x $n ip link set lo up
	done
	for n in homert homert2 inet entfw igw; do x $n sysctl -qw net.ipv4.ip_forward=1; done
	# an IPv6 address is usable at once if nobody looks whether somebody has it
	for n in $V6; do x $n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0; done
	for n in homert6 inet igw; do x $n sysctl -qw net.ipv6.conf.all.forwarding=1; done
	link browser 192.168.1.100/24 homert 192.168.1.1/24
	link homert 198.51.100.2/30 inet 198.51.100.1/30
	link browser2 192.168.1.100/24 homert2 192.168.1.1/24
	link homert2 198.51.100.26/30 inet 198.51.100.25/30
	link agent 10.20.0.50/24 entfw 10.20.0.1/24
	link entfw 198.51.100.6/30 inet 198.51.100.5/30
	link tlsagent 10.30.0.50/24 tlsfw 10.30.0.1/24
	link tlsfw 198.51.100.22/30 inet 198.51.100.21/30
	link igw 198.51.100.10/30 inet 198.51.100.9/30
	link server $PRIV/24 igw 172.31.5.1/24
	link peer 198.51.100.14/30 inet 198.51.100.13/30
	link browser6 $HOME6/64 homert6 2001:db8:6::1/64
	link homert6 2001:db8:1::2/64 inet 2001:db8:1::1/64
	x igw ip addr add 2001:db8:2::2/64 dev to-inet
	x inet ip addr add 2001:db8:2::1/64 dev to-igw
	x server ip addr add $PUB6/64 dev to-igw
	x igw ip addr add 2001:db8:5::1/64 dev to-server
	x browser ip route add default via 192.168.1.1
	x browser2 ip route add default via 192.168.1.1
	x homert2 ip route add default via 198.51.100.25
	x homert ip route add default via 198.51.100.1
	x agent ip route add default via 10.20.0.1
	x entfw ip route add default via 198.51.100.5
	x server ip route add default via 172.31.5.1
	x igw ip route add default via 198.51.100.9
	x peer ip route add default via 198.51.100.13
	x inet ip route add $PUB/32 via 198.51.100.10
	x tlsagent ip route add default via 10.30.0.1
	x tlsfw ip route add default via 198.51.100.21
	x browser6 ip -6 route add default via 2001:db8:6::1
	x homert6 ip -6 route add default via 2001:db8:1::1
	x inet ip -6 route add 2001:db8:6::/64 via 2001:db8:1::2
	x inet ip -6 route add 2001:db8:5::/64 via 2001:db8:2::2
	x igw ip -6 route add default via 2001:db8:2::1
	x server ip -6 route add default via 2001:db8:5::1
	local rnd=; [ "${HOME_NAT:-cone}" = symmetric ] && rnd=fully-random
	local loss=; [ -n "${HOME_LOSS:-}" ] && loss="meta l4proto udp numgen random mod 1000 < $(awk "BEGIN{print int(10*${HOME_LOSS})}") drop"
	local home
	for home in "homert browser" "homert2 browser2"; do
		set -- $home
		x $1 nft -f - <<-N
		table ip n {
		 chain post {
		  type nat hook postrouting priority 100;
		  oifname "to-inet" masquerade $rnd
		 }
		}
		table ip f {
		 chain filt {
		  type filter hook forward priority 0; policy drop;
		  $loss
		  iifname "to-$2" accept
		  ct state established,related accept
		 }
		}
		N
	done
	x entfw nft -f - <<-N
	table ip n {
	 chain post {
	  type nat hook postrouting priority 100;
	  oifname "to-inet" masquerade
	 }
	}
	table ip f {
	 counter udp_drop {
	 }
	 counter tcp_ok {
	 }
	 counter other_drop {
	 }
	 chain filt {
	  type filter hook forward priority 0; policy drop;
	  meta l4proto udp counter name udp_drop drop
	  ct state established,related accept
	  iifname "to-agent" tcp dport { 80, 443 } ct state new counter name tcp_ok accept
	  counter name other_drop drop
	 }
	}
	N
	# nothing is forwarded: what gets out is what the proxy sends by itself
	x tlsfw nft -f - <<-N
	table ip n {
	 chain pre {
	  type nat hook prerouting priority -100;
	  iifname "to-tlsagent" tcp dport 443 redirect to :$PROXY
	 }
	}
	table ip f {
	 counter udp_drop {
	 }
	 counter other_drop {
	 }
	 chain filt {
	  type filter hook input priority 0; policy accept;
	  iifname "to-tlsagent" tcp dport $PROXY ct status dnat accept
	  iifname "to-tlsagent" counter name other_drop drop
	  ct state established,related accept
	  iifname "to-inet" drop
	 }
	 chain through {
	  type filter hook forward priority 0; policy drop;
	  meta l4proto udp counter name udp_drop drop
	  counter name other_drop drop
	 }
	}
	N
	x tlsfw python3 "$HERE/tlsproxy.py" $PROXY
	x homert6 nft -f - <<-N
	table ip6 f {
	 chain filt {
	  type filter hook forward priority 0; policy drop;
	  ct state established,related accept
	  iifname "to-browser6" accept
	 }
	}
	N
	[ -z "${HOME_RATE:-}" ] || x homert tc qdisc add dev to-browser root tbf rate "${HOME_RATE}kbit" burst 4kb latency 300ms
	# the AWS-like gateway: the instance never sees its public address, nothing else is filtered
	x igw nft -f - <<-N
	table ip n {
	 chain pre {
	  type nat hook prerouting priority -100;
	  iifname "to-inet" ip daddr $PUB dnat to $PRIV
	 }
	 chain post {
	  type nat hook postrouting priority 100;
	  oifname "to-inet" ip saddr $PRIV snat to $PUB
	 }
	}
	N
	echo up
}
down() {
	for n in $NS; do
		ip netns list | grep -Eq "^$P-$n( |$)" || continue
		for p in $(ip netns pids $P-$n 2>/dev/null); do kill $p 2>/dev/null; done
	done
	sleep 0.2
	for n in $NS; do ip netns del $P-$n 2>/dev/null; done
	echo down
}
check() { # reachability as designed
	local ok=0 bad=0
	t() { if eval "$2"; then echo "ok   $1"; ok=$((ok+1)); else echo "FAIL $1"; bad=$((bad+1)); fi; }
	# asks an echo server who it sees; over `tls` it begins as TLS does, in two pieces
	PY='import socket,ssl,sys,time
k,h,p=sys.argv[1],sys.argv[2],int(sys.argv[3])
hello=ssl.MemoryBIO()
try: ssl.create_default_context().wrap_bio(ssl.MemoryBIO(),hello,server_hostname="example.org").do_handshake()
except ssl.SSLWantReadError: pass
says={"tls":hello.read(),"turn":bytes.fromhex("000300082112a442")+bytes(12)+bytes.fromhex("0019000411000000"),
  "ice":bytes.fromhex("0014000100002112a442")+bytes(12)}.get(k,b"hi")
s=socket.socket(socket.AF_INET6 if ":" in h else socket.AF_INET,socket.SOCK_DGRAM if k=="udp" else socket.SOCK_STREAM); s.settimeout(1)
try:
  s.connect((h,p)); s.send(says[:3])
  if says[3:]: time.sleep(0.1); s.send(says[3:])
  print(s.recv(99).decode())
except ConnectionError: print("cut")
except Exception: print("none")'
	SV='import socket,select,time
socks=[]
for p in (443,3478):
  u=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); u.bind(("::",p)); socks.append(u)
  t=socket.socket(socket.AF_INET6); t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); t.bind(("::",p)); t.listen(9); socks.append(t)
seen=lambda a: a[0].removeprefix("::ffff:").encode()
end=time.time()+30
while time.time()<end:
  for s in select.select(socks,[],[],0.5)[0]:
    if s.type==socket.SOCK_DGRAM: d,a=s.recvfrom(99); s.sendto(seen(a),a)
    else:
      c,a=s.accept(); c.recv(99); c.send(seen(a)); c.close()'
	ip netns exec $P-server python3 -c "$SV" & local sp=$!
	ip netns exec $P-browser6 python3 -c "$SV" & local hp=$!
	sleep 0.7
	t "browser UDP 3478 -> seen as 198.51.100.2"  '[ "$(x browser python3 -c "$PY" udp $PUB 3478)" = 198.51.100.2 ]'
	t "browser TCP 443  -> seen as 198.51.100.2"  '[ "$(x browser python3 -c "$PY" tcp $PUB 443)" = 198.51.100.2 ]'
	t "browser2 UDP 3478 -> seen as 198.51.100.26" '[ "$(x browser2 python3 -c "$PY" udp $PUB 3478)" = 198.51.100.26 ]'
	t "agent UDP 3478 dropped"                    '[ "$(x agent python3 -c "$PY" udp $PUB 3478)" = none ]'
	t "agent UDP 443 dropped"                     '[ "$(x agent python3 -c "$PY" udp $PUB 443)" = none ]'
	t "agent TCP 3478 dropped"                    '[ "$(x agent python3 -c "$PY" tcp $PUB 3478)" = none ]'
	t "agent TCP 443  -> seen as 198.51.100.6"    '[ "$(x agent python3 -c "$PY" tcp $PUB 443)" = 198.51.100.6 ]'
	t "peer UDP 3478 -> seen as 198.51.100.14"    '[ "$(x peer python3 -c "$PY" udp $PUB 3478)" = 198.51.100.14 ]'
	t "server does not own its public address"    '! x server ip -4 addr | grep -q $PUB'
	t "tlsagent TLS 443 -> seen as 198.51.100.22" '[ "$(x tlsagent python3 -c "$PY" tls $PUB 443)" = 198.51.100.22 ]'
	t "tlsagent TURN over TCP 443 cut"            '[ "$(x tlsagent python3 -c "$PY" turn $PUB 443)" = cut ]'
	t "tlsagent ICE over TCP 443 cut"             '[ "$(x tlsagent python3 -c "$PY" ice $PUB 443)" = cut ]'
	t "tlsagent TLS 3478 dropped"                 '[ "$(x tlsagent python3 -c "$PY" tls $PUB 3478)" = none ]'
	t "tlsagent TLS to the proxy itself dropped"  '[ "$(x tlsagent python3 -c "$PY" tls 10.30.0.1 $PROXY)" = none ]'
	t "tlsagent UDP 443 dropped"                  '[ "$(x tlsagent python3 -c "$PY" udp $PUB 443)" = none ]'
	t "browser6 UDP 3478 -> seen as $HOME6"       '[ "$(x browser6 python3 -c "$PY" udp $PUB6 3478)" = $HOME6 ]'
	t "browser6 TCP 443  -> seen as $HOME6"       '[ "$(x browser6 python3 -c "$PY" tcp $PUB6 443)" = $HOME6 ]'
	t "browser6 not reached from outside by UDP"  '[ "$(x server python3 -c "$PY" udp $HOME6 3478)" = none ]'
	t "browser6 not reached from outside by TCP"  '[ "$(x server python3 -c "$PY" tcp $HOME6 443)" = none ]'
	t "browser6 has no IPv4"                      '[ -z "$(x browser6 ip -4 addr show dev to-homert6)" ] && [ "$(x browser6 python3 -c "$PY" udp $PUB 3478)" = none ]'
	t "browser has no IPv6"                       '[ "$(x browser python3 -c "$PY" udp $PUB6 3478)" = none ]'
	kill $sp $hp 2>/dev/null; wait $sp $hp 2>/dev/null
	echo "check: $ok ok, $bad failed"; [ $bad = 0 ]
}
move_host() { # another address on the same network
	x browser ip -batch - <<-B
	addr del 192.168.1.100/24 dev to-homert
	addr add 192.168.1.101/24 dev to-homert
	route replace default via 192.168.1.1
	B
}
move_nat() { # the kernel drops the bindings of an address that goes
	x inet ip addr add 198.51.100.17/30 dev to-homert
	x homert ip -batch - <<-B
	addr del 198.51.100.2/30 dev to-inet
	addr add 198.51.100.18/30 dev to-inet
	route replace default via 198.51.100.17
	B
}
case "${1:-}" in
	up) up ;;
	down) down ;;
	check) check ;;
	move-host) move_host ;;
	move-nat) move_nat ;;
	status) for n in $NS; do echo "== $P-$n"; x $n ip -br addr; done; for n in entfw tlsfw; do x $n nft list counters; done ;;
	*) sed -n '2,/^set -u/{/^#/p}' "$0"; exit 2 ;;
esac
