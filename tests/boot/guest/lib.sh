# Sourced by the tests that run inside a guest: PASS and FAIL lines, and the SUMMARY that the host waits for.
passed=0
failed=0

# check NAME COMMAND...: the command's status decides.
check() {
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "PASS $name"
	else
		failed=$((failed + 1))
		echo "FAIL $name"
	fi
}

# same NAME ACTUAL EXPECTED
same() {
	if [ "$2" = "$3" ]; then
		check "$1" true
	else
		check "$1: got '$2', not '$3'" false
	fi
}

# parameter NAME: its value on the kernel's command line
parameter() {
	local word
	for word in $(cat /proc/cmdline); do
		case $word in
		"$1"=*) echo "${word#*=}" ;;
		esac
	done
}

summary() {
	echo "SUMMARY: $passed passed, $failed failed"
}
