"""How one talks: a module a wire, each pure, none of which knows a socket.

A wire module has what `providers._base.Target` calls:

    PATH                                             behind the base URL
    Quirks                                           how servers differ; `remedies` among them
    encode(request, model, quirks, *, target, stream) -> dict
    decode(payload, quirks, schema) -> Response      of a 2xx body
    StreamDecoder(quirks, schema)                    `feed(event, data)` and `close()` give deltas, then
                                                     `response()`; `finished`, `done`, `partial`
    raise_error(payload)                             the error that a 2xx body holds
    read_error(status, text)                         the body of any other status: message, code, param, wait
    remedy(error, body, quirks)                      the parameter that the server calls unsupported
    warnings(request, quirks)                        what the remedies do to a request

What the wires share stands once, in `_shared`.
"""
