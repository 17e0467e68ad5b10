"""tlsproxy.py PORT: the proxy of an office that lets only TLS through.

Takes the TCP connections that a packet filter redirects to PORT. One that begins with a TLS ClientHello is led on to where it was
meant to go, byte for byte; any other is reset, and one that says nothing is too. It goes to the background once it listens.
"""

import asyncio
import os
import socket
import struct
import sys

# Of linux/netfilter_ipv4.h: where a redirected connection was meant to go.
SO_ORIGINAL_DST = 80
# A record header and the type of its first message (RFC 8446 §4 and §5.1).
BEGINNING = 6
# Seconds that a connection may take to say what it is, and the far side to answer.
PATIENCE = 5
PIECE = 65536


def is_client_hello(begin):
    handshake, version, client_hello = 22, 3, 1
    return begin[0] == handshake and begin[1] == version and begin[5] == client_hello


def meant_for(connection):
    _, port, address = struct.unpack("!HH4s8x", connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
    return socket.inet_ntoa(address), port


def cut(writer):
    """Ends it with a reset, as a firewall does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def carry(reader, writer):
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()


async def beginning(reader):
    """What tells what it is, with what came together with that."""
    begin = b""
    while len(begin) < BEGINNING:
        piece = await reader.read(PIECE)
        if not piece:
            raise EOFError
        begin += piece
    return begin


async def lead_on(reader, writer):
    begin = await asyncio.wait_for(beginning(reader), PATIENCE)
    if not is_client_hello(begin):
        raise ConnectionRefusedError
    there = meant_for(writer.get_extra_info("socket"))
    back, far = await asyncio.wait_for(asyncio.open_connection(*there), PATIENCE)
    try:
        far.write(begin)
        await asyncio.gather(carry(reader, far), carry(back, writer))
        far.close()
    except OSError:
        cut(far)
        raise


async def serve(reader, writer):
    try:
        await lead_on(reader, writer)
        writer.close()
    except (OSError, EOFError, asyncio.TimeoutError):
        cut(writer)


async def listen(listener):
    server = await asyncio.start_server(serve, sock=listener)
    await server.serve_forever()


def main():
    listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=64)
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    asyncio.run(listen(listener))


main()
