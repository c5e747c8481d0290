# The virtual environment is built in one stage and copied to the next: no pip, no source in the end.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY consuldns ./consuldns
RUN python -m venv /opt/consuldns && /opt/consuldns/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/consuldns /opt/consuldns
ENV PATH=/opt/consuldns/bin:$PATH
# A number, not a name: Kubernetes cannot tell from a name that it is not root (runAsNonRoot).
USER 65532:65532
# A port above 1023 needs no capability; map 53 to it.
EXPOSE 8653/udp 8653/tcp 9153/tcp
STOPSIGNAL SIGTERM
ENTRYPOINT ["consuldns"]
CMD ["serve", "--listen", "0.0.0.0:8653", "--admin-addr", "0.0.0.0:9153"]
