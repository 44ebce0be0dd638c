# Runs postfix with the configuration in $1 until standard input ends: with the test, however that ends.
set -u
umask 022
exec 3<&0 </dev/null
chown -R root: "$1/config"
chown root: "$1/queue"
chown postfix: "$1/data"
pid="$1/queue/pid/master.pid"
rm -f "$pid"
/usr/sbin/postfix -c "$1/config" start-fg &
postfix=$!
(
	cat <&3 >/dev/null
	# It may be that it has only just begun.
	until kill "$(sed 1q "$pid" 2>/dev/null)" 2>/dev/null; do sleep 0.1; done
) &
watch=$!
wait "$postfix"
ended=$?
kill "$watch" 2>/dev/null
exit "$ended"
