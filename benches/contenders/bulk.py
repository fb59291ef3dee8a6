"""Python as one would write it who knows how: 500 messages at most are written together, guarded and durable."""

import json
import os

import pika
from pymongo import MongoClient, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError

BATCH = 500
DUPLICATE_KEY = 11000
# A batch that is not full is written when nothing has come for so long, in seconds.
QUIET = 0.005


def main():
    collection = MongoClient(os.environ["MONGODB_URL"])[os.environ["DATABASE"]][os.environ["COLLECTION"]]
    users = collection.with_options(write_concern=WriteConcern("majority", j=True))
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=BATCH * 4)
    updates = []
    last = None
    for method, _, body in channel.consume(os.environ["QUEUE"], inactivity_timeout=QUIET):
        if method is not None:
            updates.append(update_of(body))
            last = method.delivery_tag
        if len(updates) == BATCH or (method is None and updates):
            write(users, updates)
            channel.basic_ack(last, multiple=True)
            updates = []


def update_of(body):
    """Replaces the user if the version is lower than this one, or inserts it."""
    data = json.loads(body)["data"]
    user = {
        "_id": data["id"],
        "username": data["username"],
        "email": data["email"],
        "city": data["address"]["city"],
        "v": data["version"],
    }
    guarded = {"$cond": [{"$lt": ["$v", user["v"]]}, {"$literal": user}, "$$ROOT"]}
    return UpdateOne({"_id": user["_id"]}, [{"$replaceWith": guarded}], upsert=True)


def write(users, updates):
    """Another consumer may insert the same user at the same moment; then it goes round again."""
    while True:
        try:
            users.bulk_write(updates, ordered=False)
            return
        except BulkWriteError as error:
            if any(one["code"] != DUPLICATE_KEY for one in error.details["writeErrors"]):
                raise


if __name__ == "__main__":
    main()
