"""The port of query encoders in this process, with encoders that need no weights: words are hashed, colors counted."""

from concurrent.futures import Future

from mmrec.content.encoder import Encoder
from mmrec.content.query_encoder import EncodedQuery
from mmrec.content.registry import LazyEncoder
from mmrec.errors import InvalidRequestError

NAMES = {"text": "hashing-tf", "image": "color-histogram"}


class HereQueryEncoder:
    """See mmrec.content.query_encoder.EncodesQueries."""

    def __init__(self) -> None:
        self.encoders: dict[str, Encoder] = {modality: LazyEncoder(modality, name) for modality, name in NAMES.items()}

    def ask(self, modality: str, payload: bytes) -> "Future[EncodedQuery]":
        answer: Future[EncodedQuery] = Future()
        encoder = self.encoders[modality]
        encodings = encoder.encode([payload])
        if encodings.reasons_N[0]:
            answer.set_exception(InvalidRequestError(f"{modality} payload of {len(payload)} bytes is broken"))
        else:
            answer.set_result(
                EncodedQuery(
                    modality=modality,
                    encoder=encoder.name,
                    fingerprint=encoder.fingerprint,
                    values_D=encodings.values_ND[0],
                )
            )
        return answer
