"""How one talks: a module a wire, each pure, none of which knows a socket.

A wire module has what `providers._base.Target` calls:

    FRAMING                                          of its streams: a key of `_events.DECODERS`
    path(model, stream) -> str                       behind the base URL
    Quirks                                           how servers differ; `remedies` among them
    encode(request, model, quirks, *, target, stream, told) -> dict
                                                     target is our name of the receiver, whose own thinking goes back
                                                     to it; told gets a sentence for each option of the request that
                                                     is not sent, or not as it is
    decode(payload, quirks, schema) -> Response      of a 2xx body
    StreamDecoder(quirks, schema)                    `feed(event, data)` and `close()` give deltas, then
                                                     `response()`; `finished`, `done`, `partial`
    raise_error(payload)                             the error that a 2xx body holds
    read_error(status, text)                         the body of any other status: message, code, param, wait
    remedy(error, body, quirks) -> Remedy | None     what an error teaches about the request that met it

A module that draws (`openai_images`, `google_images`) has instead:

    ONE_AT_A_TIME                                    whether a request gives one picture: then `n` are asked one by one
    Quirks                                           how servers differ
    path(request, model) -> str                      behind the base URL
    encode(request, model, quirks) -> dict | Form    JSON, or a form with files in it (`_multipart`)
    decode(payload, request) -> (pictures, warnings) of a 2xx body; a picture is an `Image`, or the checked URL
                                                     of one that still has to be fetched, without credentials
    raise_error(payload), read_error(status, text)   as above
    warnings(request, quirks)                        what of a request is not sent, or not as it is

What the wires share stands once: the order of a conversation in `_conversation`, an answer
that grows in `_growing`, schemas in `_schema`, the rest in `_shared`; what those of one
vendor share, in `_openai_errors` and `_google`.
"""
