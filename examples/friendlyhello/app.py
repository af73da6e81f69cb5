"""Says hello, and counts its visitors in Redis. Runs on Python 2.7 and 3."""

import os
import socket

from flask import Flask
from redis import Redis, RedisError

# The container that answers to this name is found by name: both are on one network.
redis = Redis(host="redis", socket_connect_timeout=2, socket_timeout=2)

app = Flask(__name__)


@app.route("/")
def hello():
    try:
        visits = redis.incr("counter")
    except RedisError:
        visits = "<i>cannot connect to Redis, counter disabled</i>"

    return "<h3>Hello {name}!</h3><b>Hostname:</b> {hostname}<br/><b>Visits:</b> {visits}".format(
        name=os.getenv("NAME", "world"), hostname=socket.gethostname(), visits=visits
    )


if __name__ == "__main__":
    # All addresses: what is published arrives from outside of the container.
    app.run(host="0.0.0.0", port=80)
