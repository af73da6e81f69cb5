printf 'FROM busybox\nRUN echo x >/x\n' | "$BUILDER" build -t result -
