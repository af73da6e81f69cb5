touch f
printf 'FROM busybox\nCOPY f /f\n' | "$BUILDER" build -t result -f - .
