#!/bin/sh
set -e
# slapd keeps a table as long as the limit of open files
ulimit -n 1024
mkdir -p /run/slapd
chown -R openldap:openldap /run/slapd /var/lib/ldap
exec slapd -d 0 -h "ldap:/// ldapi:///" -u openldap -g openldap
