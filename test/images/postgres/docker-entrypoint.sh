#!/usr/bin/env bash
set -Eeo pipefail

# setting NAME [DEFAULT]: the value of $NAME, or what the file that $NAME_FILE names holds
docker_setting() {
	local name="$1" file_name="${1}_FILE" value="${2:-}"
	if [ "${!name:-}" ] && [ "${!file_name:-}" ]; then
		printf >&2 'error: both %s and %s are set\n' "$name" "$file_name"
		exit 1
	fi
	if [ "${!name:-}" ]; then
		value="${!name}"
	elif [ "${!file_name:-}" ]; then
		value="$(< "${!file_name}")"
	fi
	export "$name"="$value"
	unset "$file_name"
}

# the folders that the server needs, and who owns them
docker_create_directories() {
	local user
	user="$(id -u)"

	mkdir -p "$PGDATA"
	chmod 00700 "$PGDATA" || :

	mkdir -p /var/run/postgresql || :
	chmod 03775 /var/run/postgresql || :

	if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
		mkdir -p "$POSTGRES_INITDB_WALDIR"
		if [ "$user" = '0' ]; then
			find "$POSTGRES_INITDB_WALDIR" \! -user postgres -exec chown postgres '{}' +
		fi
		chmod 700 "$POSTGRES_INITDB_WALDIR"
	fi

	if [ "$user" = '0' ]; then
		find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
		find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
	fi
}

docker_init_database() {
	if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
		set -- --waldir "$POSTGRES_INITDB_WALDIR" "$@"
	fi
	eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"${POSTGRES_INITDB_ARGS:-}"' "$@"'
}

docker_verify_environment() {
	if [ -z "$POSTGRES_PASSWORD" ] && [ 'trust' != "${POSTGRES_HOST_AUTH_METHOD:-}" ]; then
		cat >&2 <<-'TXT'
			error: the database is not initialized and there is no superuser password:
			       set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust
		TXT
		exit 1
	fi
}

docker_setup_environment() {
	docker_setting POSTGRES_PASSWORD
	docker_setting POSTGRES_USER postgres
	docker_setting POSTGRES_DB "$POSTGRES_USER"
	docker_setting POSTGRES_INITDB_ARGS
	: "${POSTGRES_HOST_AUTH_METHOD:=}"

	declare -g DATABASE_ALREADY_EXISTS
	if [ -s "$PGDATA/PG_VERSION" ]; then
		DATABASE_ALREADY_EXISTS=true
	fi
}

docker_setup_hba() {
	local auth
	if [ "$1" = 'postgres' ]; then
		shift
	fi
	auth="$(postgres -C password_encryption "$@")"
	{
		printf '\n'
		printf 'host all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$auth}"
	} >> "$PGDATA/pg_hba.conf"
}

docker_process_sql() {
	local query=(psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password)
	if [ -n "$POSTGRES_DB" ]; then
		query+=(--dbname "$POSTGRES_DB")
	fi
	PGHOST='' PGHOSTADDR='' "${query[@]}" "$@"
}

docker_setup_db() {
	if [ "$POSTGRES_DB" != 'postgres' ]; then
		POSTGRES_DB='postgres' docker_process_sql --set db="$POSTGRES_DB" <<-'SQL'
			CREATE DATABASE :"db" ;
		SQL
	fi
}

docker_process_init_files() {
	local f
	for f; do
		case "$f" in
			*.sh)
				if [ -x "$f" ]; then
					"$f"
				else
					. "$f"
				fi
				;;
			*.sql) docker_process_sql -f "$f" ;;
			*.sql.gz) gunzip -c "$f" | docker_process_sql ;;
		esac
	done
}

docker_temp_server_start() {
	if [ "$1" = 'postgres' ]; then
		shift
	fi
	set -- "$@" -c listen_addresses='' -p "${PGPORT:-5432}"
	PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
}

docker_temp_server_stop() {
	PGUSER="${PGUSER:-postgres}" pg_ctl -D "$PGDATA" -m fast -w stop
}

_wants_help() {
	local arg
	for arg; do
		case "$arg" in
			-'?'|--help|--describe-config|-V|--version) return 0 ;;
		esac
	done
	return 1
}

_main() {
	if [ "${1:0:1}" = '-' ]; then
		set -- postgres "$@"
	fi

	if [ "$1" = 'postgres' ] && ! _wants_help "$@"; then
		docker_setup_environment
		docker_create_directories
		if [ "$(id -u)" = '0' ]; then
			# this script again, as the user of the service
			exec gosu postgres "$BASH_SOURCE" "$@"
		fi

		if [ -z "$DATABASE_ALREADY_EXISTS" ]; then
			docker_verify_environment
			ls /docker-entrypoint-initdb.d/ > /dev/null

			docker_init_database
			docker_setup_hba "$@"

			export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
			docker_temp_server_start "$@"
			docker_setup_db
			docker_process_init_files /docker-entrypoint-initdb.d/*
			docker_temp_server_stop
			unset PGPASSWORD
		fi
	fi

	exec "$@"
}

# read by another script: only the functions are wanted
if ! [ "${#FUNCNAME[@]}" -ge 2 ]; then
	_main "$@"
fi
