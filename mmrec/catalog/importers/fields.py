"""The fields of items and events that a column can be, with the names that people give them.

field_of("product_name") -> "title" of an item
"""

import re
from typing import Final

ITEM_FIELDS: Final = {
    "item_id": "id item itemid productid product sku asin parentasin articleid movieid trackid songid newsid goodsid"
    " code",
    "title": "title name productname producttitle productdisplayname displayname itemname headline itemtitle movietitle"
    " trackname songname",
    "description": "description desc productdescription longdescription body bodyhtml summary abstract details overview"
    " text content shortdescription",
    "domain": "domain",
    "price": "price saleprice currentprice listprice retailprice unitprice amount variantprice",
    "currency": "currency currencycode pricecurrency",
    "availability": "availability available instock stockstatus status isavailable",
    "image": "image imageurl imageurls images img imgurl picture pictureurl photo photourl imagepath imagefile filename"
    " imagelink imagesrc link thumbnail poster posterurl",
    "publish_time": "publishtime published publishedat publishdate publicationdate pubdate releasedate datepublished"
    " createdat availablefrom",
    "expire_time": "expiretime expires expiresat expirydate expiredate validuntil availableuntil enddate",
    "update_time": "updatetime updated updatedat modified modifiedat lastmodified",
}
EVENT_FIELDS: Final = {
    "event_id": "eventid",
    "user_id": "user userid visitor visitorid customer customerid reviewerid buyerid memberid accountid uid clientid",
    "item_id": ITEM_FIELDS["item_id"],
    "behavior": "behavior behaviour behaviortype behaviourtype event eventtype eventname action actiontype type"
    " interaction",
    "event_time": "eventtime timestamp time date datetime createdat ts unixreviewtime ratedat occurredat eventdate",
    "session_id": "session sessionid usersession",
    "quantity": "quantity qty count num units",
    "price": ITEM_FIELDS["price"],
    "currency": ITEM_FIELDS["currency"],
}
"""Names in small letters without signs, by field; the first columns that have one take it, in this order."""
RATING_NAMES: Final = frozenset(("rating", "overall", "score", "stars", "rate", "rank"))
"""Columns of values that say how much somebody liked something."""
_SIGNS: Final = re.compile(r"[\W_]+")


def plain_name(column: str) -> str:
    """A column's name as names are compared: "Product Name" and "productName" are "productname"."""
    return _SIGNS.sub("", column).casefold()


def guessed_by_name(columns: tuple[str, ...], fields: dict[str, str]) -> dict[str, str]:
    """Columns by field, where their names say it; a name further ahead in a field's list is preferred."""
    plain = {column: plain_name(column) for column in reversed(columns)}
    by_name = {name: column for column, name in plain.items()}
    found: dict[str, str] = {}
    for field, names in fields.items():
        known = (field.replace("_", ""), *names.split())
        named = (by_name[name] for name in known if name in by_name)
        if (column := next((each for each in named if each not in found.values()), None)) is not None:
            found[field] = column
    return found
