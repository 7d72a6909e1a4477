"""The models there are; each is one file and one line here."""

from typing import Final

from mmrec.errors import NotFoundError
from mmrec.zoo.blend import BLEND
from mmrec.zoo.bpr import BPR_MODEL
from mmrec.zoo.content_likeness import CONTENT_LIKENESS
from mmrec.zoo.cross_domain import S2_ALIGNED_USERS, S2_CONTRASTIVE, S2_CROSS_DOMAIN
from mmrec.zoo.ease import EASE_MODEL
from mmrec.zoo.freedom import FREEDOM
from mmrec.zoo.gce_like import GCE_LIKE
from mmrec.zoo.ials import IALS_MODEL
from mmrec.zoo.item_knn import ITEM_KNN
from mmrec.zoo.item_knn_content import ITEM_KNN_CONTENT
from mmrec.zoo.lattice import LATTICE
from mmrec.zoo.light_gcn import LIGHT_GCN
from mmrec.zoo.mario_like import MARIO_LIKE
from mmrec.zoo.mccl_like import MCCL_LIKE
from mmrec.zoo.ncf import NCF_MODEL
from mmrec.zoo.neighbor_walk import NEIGHBOR_WALK
from mmrec.zoo.popularity import POPULARITY
from mmrec.zoo.random_order import RANDOM
from mmrec.zoo.recency import RECENCY
from mmrec.zoo.s1_fusion import S1_FUSION
from mmrec.zoo.s3_item_only import S3_ITEM_ONLY
from mmrec.zoo.s3_strong import S3_STRONG
from mmrec.zoo.s3_with_user import S3_WITH_USER
from mmrec.zoo.sasrec import SASREC
from mmrec.zoo.served import FUSED_RECALL, SERVED, TOWERS
from mmrec.zoo.vbpr import VBPR_MODEL
from mmrec.zoo.zoo_model import ZooModel

MODELS: Final[tuple[ZooModel, ...]] = (
    RANDOM,
    POPULARITY,
    RECENCY,
    ITEM_KNN,
    ITEM_KNN_CONTENT,
    CONTENT_LIKENESS,
    NEIGHBOR_WALK,
    EASE_MODEL,
    IALS_MODEL,
    BPR_MODEL,
    LIGHT_GCN,
    FREEDOM,
    NCF_MODEL,
    VBPR_MODEL,
    LATTICE,
    MARIO_LIKE,
    MCCL_LIKE,
    GCE_LIKE,
    SASREC,
    S1_FUSION,
    S2_CONTRASTIVE,
    S2_CROSS_DOMAIN,
    S2_ALIGNED_USERS,
    BLEND,
    S3_ITEM_ONLY,
    S3_WITH_USER,
    S3_STRONG,
    TOWERS,
    FUSED_RECALL,
    SERVED,
)


def model_named(name: str) -> ZooModel:
    """The entry of that name; NotFoundError names those that exist."""
    for each in MODELS:
        if each.name == name:
            return each
    raise NotFoundError(f"no model is called {name!r}; known: {', '.join(each.name for each in MODELS)}")
