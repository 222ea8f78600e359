#!/bin/bash
set -e
chown -R redis:redis /data
exec gosu redis "$@"
