"""How one talks: a module a wire, each pure, none of which knows a socket.

A wire module has

    encode(request, model, quirks, ...) -> dict      our values to its request body
    decode(payload, quirks) -> Response              its answer to our values
    StreamDecoder(quirks)                            its events to ours
    read_error(status, text)                         the body of its errors

What the wires share stands once, in `_shared`.
"""
