"""relay.py SERVER PORT udp|tcp|tls USER PASSWORD ECHO PORT: aioice, the ICE of aiortc, as a client of a TURN server.

Sends datagrams over a relay to an echo server and back; then two ICE agents that may use nothing but relays meet, and one hears
from the other. Prints one line of JSON: `relayed`, `echoed`, `pair` (the types of its candidates), `heard`.
"""

import asyncio
import json
import ssl
import sys

import aioice
from aioice.ice import TransportPolicy
from aioice.turn import create_turn_endpoint

DATAGRAMS = 20
SIZE = 172
# Seconds for everything.
PATIENCE = 30

server, port, road, user, password, echo, echo_port = sys.argv[1:]
server, echo = (server, int(port)), (echo, int(echo_port))
unverified = ssl.create_default_context()
unverified.check_hostname = False
unverified.verify_mode = ssl.CERT_NONE
transport, secured = ("udp" if road == "udp" else "tcp"), (unverified if road == "tls" else None)


class Receiver(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue()

    def datagram_received(self, data, address):
        self.received.put_nowait((data, address))


async def echoed():
    path, receiver = await create_turn_endpoint(
        Receiver, server, user, password, ssl=secured, transport=transport
    )
    sent = [bytes([number]) * SIZE for number in range(DATAGRAMS)]
    for datagram in sent:
        path.sendto(datagram, echo)
    received = [await receiver.received.get() for _ in sent]
    good = sorted(received) == [(datagram, echo) for datagram in sent]
    relayed = path.get_extra_info("sockname")
    path.close()
    return {"relayed": relayed, "echoed": len(received) if good else 0}


async def met():
    agents = [
        aioice.Connection(
            ice_controlling=controlling,
            use_ipv6=False,
            transport_policy=TransportPolicy.RELAY,
            turn_server=server,
            turn_username=user,
            turn_password=password,
            turn_ssl=secured,
            turn_transport=transport,
        )
        for controlling in (True, False)
    ]
    for agent in agents:
        await agent.gather_candidates()
    for agent, other in (agents, agents[::-1]):
        for candidate in other.local_candidates:
            await agent.add_remote_candidate(candidate)
        await agent.add_remote_candidate(None)
        agent.remote_username, agent.remote_password = other.local_username, other.local_password
    await asyncio.gather(*(agent.connect() for agent in agents))
    await agents[0].send(b"over two relays")
    heard = await agents[1].recv()
    types = [candidate.type for agent in agents for candidate in agent.local_candidates]
    await asyncio.gather(*(agent.close() for agent in agents))
    return {"pair": types, "heard": heard.decode()}


async def everything():
    return {**await echoed(), **await met()}


print(json.dumps(asyncio.run(asyncio.wait_for(everything(), PATIENCE))))
