# The virtual environment is built in one stage and copied to the next: no pip, no source in the end.
FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /opt/consuldns
COPY requirements/run.txt ./requirements/
RUN /opt/consuldns/bin/pip install --no-cache-dir --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY consuldns ./consuldns
RUN /opt/consuldns/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="consuldns" \
      org.opencontainers.image.description="DNS server in front of HashiCorp Consul" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/consuldns /opt/consuldns
# What differs from the defaults is in a file: the environment, and a file that is mounted over it,
# go before it.
COPY packaging/container.toml /etc/consuldns/consuldns.toml
ENV PATH=/opt/consuldns/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# A number, not a name: Kubernetes cannot tell from a name that it is not root (runAsNonRoot).
USER 65532:65532
# A port above 1023 needs no capability; map 53 to it.
EXPOSE 8653/udp 8653/tcp 9153/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9153/health', timeout=2)"]
ENTRYPOINT ["consuldns"]
CMD ["serve"]
