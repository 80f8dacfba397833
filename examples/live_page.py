"""A FastAPI page with live objects: each open page shows the votes of all, as they come.

It needs the packages fastapi, uvicorn and websockets. Open http://127.0.0.1:8000/ in two windows.
"""

from contextlib import asynccontextmanager
from importlib.resources import files

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

import broker
import cred

PORT = 8000
PAGE = """<!DOCTYPE html>
<title>Tea or coffee?</title>
<p>tea <b id="tea">0</b>, coffee <b id="coffee">0</b>
<p><button>tea</button> <button>coffee</button>
<script type="module">
  import { connect, Referenceable } from "/broker.js";
  class Screen extends Referenceable {
    remote_votes(votes) {
      for (const what in votes) document.getElementById(what).textContent = votes[what];
    }
  }
  const address = `ws://${location.host}/pb/`;
  const { avatar } = await connect(address, "anonymous", { mind: new Screen() });
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => avatar.callRemote("vote", button.textContent);
</script>
"""


votes = {"tea": 0, "coffee": 0}
screens = broker.Subscribers()


class Voter(broker.Avatar):
    def __init__(self, name, screen):
        screens.add(screen)
        screen.send("votes", votes)

    def perspective_vote(self, what):
        if what not in votes:
            raise broker.Error("tea or coffee")
        votes[what] += 1
        screens.send("votes", votes)


portal = cred.Portal(broker.realm(Voter), [cred.AllowAnonymousAccess()])
pb = broker.asgi(portal, origins=[f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"])


@asynccontextmanager
async def lifespan(app):
    yield
    await pb.server.close(drain=0)


app = FastAPI(lifespan=lifespan)
app.mount("/pb", pb)


@app.get("/")
def page():
    return HTMLResponse(PAGE)


# The first of the files loads the others when the page needs them.
@app.get("/broker.js")
@app.get("/broker-login.js")
@app.get("/broker-served.js")
@app.get("/broker-again.js")
def client(request: Request):
    script = files("broker") / "web" / "static" / request.url.path[1:]
    return Response(script.read_bytes(), media_type="text/javascript")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
