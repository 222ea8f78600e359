#!/bin/sh
# as the first process it gets orphans that it does not know, and crashes
trap 'kill $server' TERM INT
vsftpd /etc/vsftpd.conf &
server=$!
wait $server
