import os
import sqlite3

from flask import Flask

app = Flask(__name__)
os.makedirs("/var/lib/visits", exist_ok=True)


@app.route("/")
def index():
    with sqlite3.connect("/var/lib/visits/visits.db") as db:
        db.execute("create table if not exists visits (at text default current_timestamp)")
        db.execute("insert into visits default values")
        (count,) = db.execute("select count(*) from visits").fetchone()
    return f"visit {count} of this page\n"
