
if [ "$MODE" = apply ] && [ -e "$RUN" ]; then
	cat "$RUN" >>"$UNDO" && sync "$UNDO" && rm -f "$RUN"
fi
exit 0
